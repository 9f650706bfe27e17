//! Images from the engine's store to the nodes, without a registry.

use std::{collections::BTreeSet, ffi::OsString};

use super::{
    Kind,
    cluster::Warm,
    engine::{self, Engine, full_name},
};
use crate::{
    backend::BackendError,
    claims::{Hold, Lock},
    journal::{Journal, Undo},
    progress::Progress,
    state::State,
};

/// Loads those of these images that the nodes do not have; pulls those that the engine lacks.
pub(super) async fn load(
    kind: &Kind,
    images: &BTreeSet<String>,
    progress: &Progress,
) -> Result<(), BackendError> {
    let (state, engine) = (&kind.state, &kind.engine);
    let waits = || progress.say("waiting for another run to load images");
    let _lock = Lock::new(state, "images")
        .acquire(Hold::Exclusive, waits)
        .await?;
    let mut warm = Warm::read(state).ok_or_else(|| BackendError::Answer {
        what: format!("cluster {}", state.cluster_name()),
        problem: "what is known of it has been removed".to_owned(),
    })?;
    // Opened when there is something to write down.
    let mut journal = None;
    let mut missing = Vec::new();
    for image in images {
        let id = match engine.image(&full_name(image)).await {
            Some(id) => id,
            None => {
                let journal = match &journal {
                    Some(journal) => journal,
                    None => journal.insert(Journal::open(state, "images", None)?),
                };
                have(state, engine, journal, image, progress).await?
            }
        };
        if warm.images.get(image) != Some(&id) {
            missing.push((image.clone(), id));
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<_> = missing.iter().map(|(name, _)| name.as_str()).collect();
    progress.say(format!("loading {}", names.join(", ")));
    let journal = match journal {
        Some(journal) => journal,
        None => Journal::open(state, "images", None)?,
    };
    let archive = state.tmp().join(format!("{}.tar", journal.run()));
    let entry = journal.record(Undo::RemovePath {
        path: archive.clone(),
    })?;
    let mut save = vec![
        "save".into(),
        "--output".into(),
        archive.clone().into_os_string(),
    ];
    if engine.program() == "podman" && names.len() > 1 {
        save.push("--multi-image-archive".into());
    }
    save.extend(names.iter().map(|name| full_name(name).into()));
    let result = async {
        engine::long(state, &journal, engine.program(), &save, &[]).await?;
        let workers: Vec<_> = kind
            .pools
            .values()
            .flat_map(|facts| facts.names.clone())
            .collect();
        let mut load = vec![
            "load".into(),
            "image-archive".into(),
            archive.clone().into_os_string(),
        ];
        load.extend(["--name".into(), state.cluster_name().into()]);
        load.extend(["--nodes".into(), workers.join(",").into()]);
        engine::long(state, &journal, "kind", &load, &engine.env()).await
    };
    let result = result.await;
    let _ = std::fs::remove_file(&archive);
    entry.done()?;
    result?;
    warm.images.extend(missing);
    warm.write(state)
}

/// Pulls an image unless the engine has it; gives its id.
pub(super) async fn have(
    state: &State,
    engine: &Engine,
    journal: &Journal,
    image: &str,
    progress: &Progress,
) -> Result<String, BackendError> {
    let full = full_name(image);
    if let Some(id) = engine.image(&full).await {
        return Ok(id);
    }
    progress.say(format!("pulling {image}"));
    let args = ["pull", "--quiet", &full].map(OsString::from);
    engine::long(state, journal, engine.program(), &args, &[]).await?;
    let pulled = engine.image(&full).await;
    pulled.ok_or_else(|| BackendError::Answer {
        what: format!("image {image}"),
        problem: "it was pulled and is not there".to_owned(),
    })
}
