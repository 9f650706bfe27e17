//! The addresses of Services, and who is behind them.

use crate::kinds::Kind;
use crate::store::Store;
use crate::value::{int, is_true, list, text};
use crate::world::World;

/// The addresses that were given away.
#[derive(Debug, Default)]
pub(crate) struct Network {
    services: u32,
}

impl Network {
    /// The next address for a Service.
    pub(crate) fn next_service_ip(&mut self, store: &Store) -> String {
        loop {
            self.services += 1;
            let number = self.services + 10;
            let ip = format!("10.96.{}.{}", number / 250, number % 250 + 1);
            let taken = store
                .list(Kind::Service, None)
                .any(|service| text(service, "/spec/clusterIP") == ip);
            if !taken {
                return ip;
            }
        }
    }

    /// The first node port from which on all are free.
    pub(crate) fn next_node_port(&self, store: &Store) -> i64 {
        let used = store
            .list(Kind::Service, None)
            .flat_map(|service| list(service, "/spec/ports"))
            .filter_map(|port| int(port, "/nodePort"))
            .max();
        used.map_or(30000, |port| port + 1)
    }

    /// Whether a Service has somebody ready behind it.
    pub(crate) fn has_endpoints(&self, world: &World, home: &str, service: &str) -> bool {
        world
            .store
            .list(Kind::EndpointSlice, Some(home))
            .filter(|slice| text(slice, "/metadata/labels/kubernetes.io~1service-name") == service)
            .flat_map(|slice| list(slice, "/endpoints"))
            .any(|endpoint| is_true(endpoint, "/conditions/ready"))
    }
}
