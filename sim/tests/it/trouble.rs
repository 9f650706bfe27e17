//! kube-rs's own runtime at an API server in trouble: it must come to see all that is there.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crashbook_sim::{Cluster, Config};
use futures::StreamExt;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::runtime::controller::{Action, Controller};
use kube::runtime::{WatchStreamExt, reflector, watcher};
use serde_json::json;

/// In this time whoever is refused a few times has tried as often: kube-rs waits for half a minute
/// at most, and as long again by chance.
const TRIED_AGAIN: Duration = Duration::from_secs(240);

fn map(name: &str) -> ConfigMap {
    serde_json::from_value(json!({ "metadata": { "name": name } })).unwrap()
}

/// Makes trouble of every sort while objects come and go.
async fn trouble(cluster: &Cluster, maps: &Api<ConfigMap>) {
    for round in 0..12 {
        let name = format!("m{round}");
        maps.create(&PostParams::default(), &map(&name))
            .await
            .unwrap();
        if round % 3 == 2 {
            let gone = format!("m{}", round - 2);
            maps.delete(&gone, &DeleteParams::default()).await.unwrap();
        }
        match round % 5 {
            0 => cluster.cut_watches(),
            1 => {
                cluster.compact();
                cluster.cut_watches();
            }
            2 => {
                cluster.cut_watches();
                cluster.refuse(500, 3);
                tokio::time::sleep(TRIED_AGAIN).await;
            }
            3 => {
                cluster.cut_watches();
                cluster.refuse(429, 2);
                tokio::time::sleep(TRIED_AGAIN).await;
            }
            _ => {
                cluster.slow_lists(Duration::from_secs(7));
                cluster.compact();
                cluster.cut_watches();
            }
        }
        tokio::time::sleep(Duration::from_millis(700)).await;
    }
}

async fn names(maps: &Api<ConfigMap>) -> BTreeSet<String> {
    let listed = maps.list(&ListParams::default()).await.unwrap();
    listed
        .items
        .into_iter()
        .filter_map(|map| map.metadata.name)
        .collect()
}

/// Waits, at most for some minutes of virtual time, until something is so.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(600), waiting)
        .await
        .expect(what);
}

#[tokio::test(start_paused = true)]
async fn a_reflector_holds_what_is_there() {
    let cluster = Cluster::start(Config::default());
    let client = kube::Client::new(cluster.router(), "default");
    let maps: Api<ConfigMap> = Api::default_namespaced(client);
    for config in [
        watcher::Config::default(),
        watcher::Config::default().streaming_lists(),
    ] {
        let (store, writer) = reflector::store();
        let events = watcher(maps.clone(), config)
            .default_backoff()
            .reflect(writer);
        let reflecting = tokio::spawn(events.for_each(|_| std::future::ready(())));
        trouble(&cluster, &maps).await;
        until("the reflector catches up", async || {
            let held = store.state().into_iter();
            let held: BTreeSet<String> = held.filter_map(|map| map.metadata.name.clone()).collect();
            held == names(&maps).await
        })
        .await;
        reflecting.abort();
        for name in names(&maps)
            .await
            .into_iter()
            .filter(|name| name.starts_with('m'))
        {
            maps.delete(&name, &DeleteParams::default()).await.unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_controller_gets_to_everything() {
    let cluster = Cluster::start(Config::default());
    let client = kube::Client::new(cluster.router(), "default");
    let maps: Api<ConfigMap> = Api::default_namespaced(client);
    let reconcile = async |map: Arc<ConfigMap>, maps: Arc<Api<ConfigMap>>| {
        let name = map.metadata.name.clone().unwrap_or_default();
        let seen = json!({ "metadata": { "labels": { "seen": "yes" } } });
        match maps
            .patch(&name, &PatchParams::default(), &Patch::Merge(seen))
            .await
        {
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(Action::await_change()),
            patched => patched.map(|_| Action::await_change()),
        }
    };
    let again = |_: Arc<ConfigMap>, _: &kube::Error, _: Arc<Api<ConfigMap>>| {
        Action::requeue(Duration::from_secs(5))
    };
    let controller = Controller::new(maps.clone(), watcher::Config::default());
    let running = controller.run(reconcile, again, Arc::new(maps.clone()));
    let running = tokio::spawn(running.for_each(|_| std::future::ready(())));
    trouble(&cluster, &maps).await;
    until("the controller gets to every object", async || {
        let listed = maps.list(&ListParams::default()).await.unwrap();
        let mut labels = listed.items.into_iter().map(|map| map.metadata.labels);
        labels.all(|labels| labels.is_some_and(|labels| labels.contains_key("seen")))
    })
    .await;
    running.abort();
}
