//! kube-rs, in the process and in virtual time.

use std::time::Duration;

use crashbook_sim::{Cluster, Config};
use futures::StreamExt;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::runtime::watcher;
use serde_json::{Value, json};

fn cluster() -> (Cluster, kube::Client) {
    let cluster = Cluster::start(Config::default());
    let client = kube::Client::new(cluster.router(), "default");
    (cluster, client)
}

fn map(name: &str, value: &str) -> ConfigMap {
    let map = json!({ "metadata": { "name": name, "labels": { "of": name } },
        "data": { "key": value } });
    serde_json::from_value(map).unwrap()
}

fn code(error: kube::Error) -> (u16, String) {
    match error {
        kube::Error::Api(status) => (status.code, status.reason.clone()),
        other => panic!("{other}"),
    }
}

#[tokio::test(start_paused = true)]
async fn objects_are_made_listed_changed_and_deleted() {
    let (_cluster, client) = cluster();
    let maps: Api<ConfigMap> = Api::default_namespaced(client);
    let made = maps
        .create(&PostParams::default(), &map("a", "1"))
        .await
        .unwrap();
    let twice = maps
        .create(&PostParams::default(), &map("a", "1"))
        .await
        .unwrap_err();
    assert_eq!(code(twice), (409, "AlreadyExists".to_owned()));

    let selected = maps
        .list(&ListParams::default().labels("of=a"))
        .await
        .unwrap();
    assert_eq!(selected.items.len(), 1);

    let merge = Patch::Merge(json!({ "data": { "key": "2" } }));
    let changed = maps
        .patch("a", &PatchParams::default(), &merge)
        .await
        .unwrap();
    assert_ne!(
        changed.metadata.resource_version,
        made.metadata.resource_version
    );
    let stale = maps
        .replace("a", &PostParams::default(), &made)
        .await
        .unwrap_err();
    assert_eq!(code(stale), (409, "Conflict".to_owned()));

    maps.delete("a", &DeleteParams::default()).await.unwrap();
    assert_eq!(
        code(maps.get("a").await.unwrap_err()),
        (404, "NotFound".to_owned())
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_applied_no_longer_is_taken_away() {
    let (_cluster, client) = cluster();
    let maps: Api<ConfigMap> = Api::default_namespaced(client);
    let apply = async |data: Value| {
        let object = json!({ "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": { "name": "a" }, "data": data });
        maps.patch("a", &PatchParams::apply("test"), &Patch::Apply(object))
            .await
            .unwrap()
    };
    apply(json!({ "one": "1", "two": "2" })).await;
    let data = apply(json!({ "two": "3" })).await.data.unwrap();
    assert_eq!(
        data.into_iter().collect::<Vec<_>>(),
        [("two".to_owned(), "3".to_owned())]
    );
}

#[tokio::test(start_paused = true)]
async fn long_lists_come_in_pages() {
    let (_cluster, client) = cluster();
    let maps: Api<ConfigMap> = Api::default_namespaced(client);
    for index in 0..7 {
        maps.create(&PostParams::default(), &map(&format!("m{index}"), ""))
            .await
            .unwrap();
    }
    let mut params = ListParams::default().limit(3);
    let mut names = Vec::new();
    loop {
        let page = maps.list(&params).await.unwrap();
        assert!(page.items.len() <= 3);
        names.extend(page.items.into_iter().filter_map(|map| map.metadata.name));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => break,
        }
    }
    names.retain(|name| name.starts_with('m'));
    assert_eq!(names, ["m0", "m1", "m2", "m3", "m4", "m5", "m6"]);
}

#[tokio::test(start_paused = true)]
async fn a_watcher_sees_what_changes_and_outlives_a_compaction() {
    let (cluster, client) = cluster();
    let maps: Api<ConfigMap> = Api::default_namespaced(client);
    let only = watcher::Config::default().labels("of=a").timeout(10);
    let mut seen = watcher(maps.clone(), only).boxed();
    let next = async |seen: &mut futures::stream::BoxStream<'_, _>| {
        let event = tokio::time::timeout(Duration::from_secs(120), seen.next()).await;
        event.unwrap().unwrap()
    };
    assert!(matches!(next(&mut seen).await, Ok(watcher::Event::Init)));
    assert!(matches!(
        next(&mut seen).await,
        Ok(watcher::Event::InitDone)
    ));
    maps.create(&PostParams::default(), &map("b", ""))
        .await
        .unwrap();
    maps.create(&PostParams::default(), &map("a", ""))
        .await
        .unwrap();
    assert!(matches!(
        next(&mut seen).await,
        Ok(watcher::Event::Apply(_))
    ));
    cluster.compact();
    maps.delete("a", &DeleteParams::default()).await.unwrap();
    let mut gone = false;
    for _ in 0..10 {
        match next(&mut seen).await {
            Ok(watcher::Event::Delete(_) | watcher::Event::InitDone) => {
                gone = true;
                break;
            }
            _ => continue,
        }
    }
    assert!(gone);
}

#[tokio::test(start_paused = true)]
async fn a_namespace_takes_what_is_in_it_along() {
    let (_cluster, client) = cluster();
    let spaces: Api<Namespace> = Api::all(client.clone());
    let space = json!({ "metadata": { "name": "shop" } });
    let space = serde_json::from_value(space).unwrap();
    spaces.create(&PostParams::default(), &space).await.unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(client, "shop");
    maps.create(&PostParams::default(), &map("a", ""))
        .await
        .unwrap();
    spaces
        .delete("shop", &DeleteParams::default())
        .await
        .unwrap();
    let gone = async {
        while spaces.get_opt("shop").await.unwrap().is_some() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), gone)
        .await
        .unwrap();
    assert!(maps.get_opt("a").await.unwrap().is_none());
}
