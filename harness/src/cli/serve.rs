//! `crashbook serve`.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use tokio::signal;

use super::scenarios::Scenarios;
use super::{Exit, Global, complain};
use crate::journal::{Journal, Undo};
use crate::report;
use crate::run::embedded::Incident;
use crate::run::outcome::Outcome;
use crate::state::State;

/// Serves the embedded cluster, for kubectl, k9s or a detector of one's own, until Ctrl-C.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  crashbook serve                                       a healthy cluster
  crashbook serve --scenario bad-include                one in which this is broken
  crashbook serve --scenario blocked-egress --speed 60  a minute of the cluster passes in a second")]
pub(super) struct Serve {
    /// Break the cluster as this scenario does; a variant as SCENARIO/VARIANT
    #[arg(long, value_name = "NAME")]
    scenario: Option<String>,
    /// How many of the cluster's seconds pass in one
    #[arg(long, value_name = "TIMES", default_value_t = 1.0, value_parser = speed)]
    speed: f64,
    /// The port to listen on [default: a free one]
    #[arg(
        long,
        value_name = "NUMBER",
        default_value_t = 0,
        hide_default_value = true
    )]
    port: u16,
    /// The address to listen on. There are no passwords: whoever reaches it may do everything
    #[arg(long, value_name = "IP", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    address: IpAddr,
    /// What the cluster's names, uids and addresses follow from
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    scenarios: Scenarios,
}

/// Reads a speed: a positive number.
fn speed(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(speed) if speed.is_finite() && (0.001..=100_000.0).contains(&speed) => Ok(speed),
        _ => Err("expected a number from 0.001 to 100000".to_owned()),
    }
}

impl Serve {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<Exit> {
        let mut scenario = None;
        if let Some(name) = &self.scenario {
            let Some(catalogue) = self.scenarios.load() else {
                return Ok(Exit::Invalid);
            };
            match catalogue.find(std::slice::from_ref(name)) {
                Ok(found) => scenario = found.first().map(|scenario| (*scenario).clone()),
                Err(unknown) => {
                    complain(&unknown.into());
                    return Ok(Exit::Usage);
                }
            }
        }
        let state = global.state()?;
        let address = SocketAddr::new(self.address, self.port);
        let listener = TcpListener::bind(address)
            .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
            .with_context(|| format!("cannot listen on {address}: choose another by --port"))?;
        let address = listener.local_addr()?;
        let incident = Incident::stand(scenario.as_ref(), self.seed, &state)?;
        if let Some(suite) = &incident.suite
            && suite.outcome > Outcome::Pass
        {
            eprint!("{}", report::text(suite));
        }
        let config = Kubeconfig::write(&state, address)?;
        tell(&self, address, &incident);
        super::print(&format!("export KUBECONFIG={}\n", config.path.display()));
        incident.run(self.speed, async |cluster| {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            tokio::select! {
                served = cluster.serve(listener) => served.context("cannot serve any longer"),
                stopped = signal::ctrl_c() => stopped.context("cannot wait for Ctrl-C"),
            }
        })?;
        Ok(Exit::Pass)
    }
}

/// Says what is served, and what that means.
fn tell(serve: &Serve, address: SocketAddr, incident: &Incident) {
    eprintln!("the embedded cluster is at {}, until Ctrl-C", url(address));
    if !serve.address.is_loopback() {
        eprintln!(
            "warning: {} is reached from other machines, and the cluster knows no passwords and no \
             encryption: whoever reaches it may do everything in it",
            serve.address
        );
    }
    if serve.speed != 1.0 {
        eprintln!("{} of its seconds pass in one", serve.speed);
    }
    let runs = incident.suite.iter().flat_map(|suite| &suite.scenarios);
    for run in runs {
        let namespace = run.namespace.as_deref().unwrap_or("default");
        eprintln!(
            "{} stands: `kubectl -n {namespace} get pods,events`",
            run.name
        );
    }
}

/// Where a client on this machine finds the server.
fn url(address: SocketAddr) -> String {
    let ip = match address.ip() {
        ip if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        ip => ip,
    };
    format!("http://{}", SocketAddr::new(ip, address.port()))
}

/// A kubeconfig that is there as long as what it leads to.
struct Kubeconfig {
    path: PathBuf,
    _journal: Journal,
    entry: Option<crate::journal::Entry>,
}

impl Kubeconfig {
    fn write(state: &State, address: SocketAddr) -> anyhow::Result<Self> {
        let path = state.tmp().join(format!("serve-{}.yaml", address.port()));
        let journal = Journal::open(state, "serve", None)?;
        let entry = journal.record(Undo::RemovePath { path: path.clone() })?;
        let text = crashbook_sim::Cluster::kubeconfig(&url(address));
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self {
            path,
            _journal: journal,
            entry: Some(entry),
        })
    }
}

impl Drop for Kubeconfig {
    fn drop(&mut self) {
        // What cannot be removed now stays in the journal.
        if fs::remove_file(&self.path).is_ok()
            && let Some(entry) = self.entry.take()
        {
            let _ = entry.done();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_speed_is_a_positive_number() {
        assert_eq!(speed("60"), Ok(60.0));
        for wrong in ["0", "-1", "NaN", "inf", "much", "1e9"] {
            assert!(speed(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_client_finds_what_listens_everywhere() {
        assert_eq!(url("0.0.0.0:80".parse().unwrap()), "http://127.0.0.1:80");
        assert_eq!(url("[::1]:80".parse().unwrap()), "http://[::1]:80");
    }
}
