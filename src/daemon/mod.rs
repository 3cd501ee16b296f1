//! The only place where things meet: configuration, endpoint, tables, workers, kernel and API become one daemon.
//!
//! Threads: the main one is the engine; besides it run the API, the workers, the compute pool, one that resolves names and one that
//! forwards the workers' upcalls. Start and stop are in [`run`], in the order that keeps protected traffic out of the clear: routes and
//! guard come first and, unless `on_exit = "open"`, never go.
pub mod audits;
pub mod backstop;
pub mod ceiling;
pub mod changes;
pub mod clock;
pub mod compute;
pub mod descriptors;
pub mod devices;
pub mod doctor;
pub mod engine;
mod expiry;
pub mod fetch;
mod fixed;
pub mod frozen;
pub mod ground;
pub mod handover;
mod hints;
pub mod hook;
pub mod host;
pub mod install;
pub mod installed;
pub mod journal;
pub mod keeper;
pub mod keylog;
pub mod lanes;
pub mod leases;
pub mod logging;
pub mod monitor;
pub mod mtu;
pub mod names;
pub mod network;
pub mod patience;
pub mod pending;
pub mod places;
pub mod prefix;
pub mod preflight;
mod privileges;
pub mod probes;
pub mod routes;
pub mod site;
pub mod sockets;
mod start;
pub mod status;
pub mod store;
pub mod traps;
pub mod workers;

use crate::config::{self, Config, ConnectionConfig, Errors, OnExit};
use crate::control::access::Roles;
use crate::control::server::Server;
use crate::control::socket::ControlSocket;
use crate::io::fds::{EventFd, Signals};
use crate::io::host as system;
use crate::ipsec::spd::DeviceId;
use engine::{End, Engine, Parts};
use ground::Ground;
use handover::take::Entrance;
use keeper::{Begun, NoStart};
use patience::Patience;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

/// The TUN of policy-based children.
const DEVICE: DeviceId = DeviceId(0);
/// Steering has four bits for a worker.
const MAX_WORKERS: usize = 16;
/// What the command line says.
#[derive(Clone, Debug)]
pub struct Options {
    /// The main file of the configuration.
    pub config: PathBuf,
    /// Validate it and go.
    pub check: bool,
    /// Open what a stopped daemon has left closed, and go.
    pub clear: bool,
    /// The number of our end of the channel to the front, if one has started us.
    pub channel: Option<i32>,
}

/// Runs the daemon in the foreground until a signal ends it. 0: it was told to stop, or another has taken over; 1: it could not start or go on; 2:
/// the configuration is refused.
pub fn run(options: Options) -> ExitCode {
    if options.clear {
        return clear();
    }
    let mut entrance = match Entrance::of(options.channel) {
        Ok(entrance) => entrance,
        Err(sentence) => {
            eprintln!("sandhogd: {sentence}");
            return ExitCode::from(1);
        }
    };
    // Before there is a secret in memory.
    let mut warnings = privileges::first();
    if options.check {
        return check(&options.config);
    }
    let begun = match keeper::begin(&options.config, entrance.is_heir()) {
        Ok(begun) => begun,
        Err(why) => return no_start(&why, &options.config, &mut entrance),
    };
    warn(&begun.config);
    warnings.extend(privileges::keep(&begun.config));
    logging::start(&begun.config);
    warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    begun.log();
    let code = match serve(options.config, begun, &mut entrance) {
        Ok(End::Told | End::HandedOver) => ExitCode::SUCCESS,
        Ok(End::LostDevice | End::Alone) => ExitCode::from(1),
        Err(sentence) => {
            tracing::error!("{sentence}");
            entrance.refuse(&sentence);
            ExitCode::from(1)
        }
    };
    logging::finish();
    code
}

/// Nothing comes into force, and what was stays protected. Where another daemon is at work, it sees to that.
fn no_start(why: &NoStart, path: &Path, entrance: &mut Entrance) -> ExitCode {
    let closed = if entrance.is_heir() { None } else { ground::close(path, &Patience::default()) };
    let code = match why {
        NoStart::Refused(errors) => {
            entrance.refuse("the configuration is refused: `sandhogd --check` says why");
            refused(errors)
        }
        NoStart::Sentence(sentence) => {
            entrance.refuse(sentence);
            eprintln!("{sentence}");
            ExitCode::from(1)
        }
    };
    closed.iter().for_each(|sentence| eprintln!("sandhogd: {sentence}"));
    code
}

/// What the files say, and nothing else.
fn check(path: &Path) -> ExitCode {
    match config::load(path) {
        Ok(config) => {
            warn(&config);
            ExitCode::SUCCESS
        }
        Err(errors) => refused(&errors),
    }
}

fn refused(errors: &Errors) -> ExitCode {
    eprintln!("{}", errors.render(std::io::stderr().is_terminal()));
    ExitCode::from(2)
}

fn warn(config: &Config) {
    if !config.warnings.is_empty() {
        eprintln!("{}", config::error::render(&config.warnings, std::io::stderr().is_terminal()));
    }
}

/// Removes whatever of ours is in the kernel, by our protocol number and table's name; needs no configuration, and refuses while a daemon is at work.
fn clear() -> ExitCode {
    let network = network::Network::open(&config::Gateway::default());
    match network.and_then(|mut network| network.leave(OnExit::Open)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("routes, rules and guard stay as they are: {error}");
            ExitCode::from(1)
        }
    }
}

/// Starts, runs and stops. Errors are sentences that say what to do.
fn serve(path: PathBuf, begun: Begun, entrance: &mut Entrance) -> Result<End, String> {
    let config = begun.config.clone();
    let said = |what: &'static str| move |error: std::io::Error| format!("{what}: {error}");
    // Before any thread: they inherit which signals are blocked.
    let signals = Signals::new().map_err(said("signals"))?;
    if let Err(error) = system::raise_descriptor_limit() {
        tracing::warn!(%error, "the number of open descriptors stays limited; many devices need many");
    }
    let ground = match entrance.receive()? {
        None => Ground::fresh(&config)?,
        Some(heritage) => Ground::taken(&config, heritage)?,
    };
    let doors = ground.doors().map_err(said("the API's sockets"))?;
    let Ground { control: mut socket, mut observe, metrics, mut network, sockets, queues, own, taken } = ground;
    let (sockets, of_workers) = sockets;
    let wake = Arc::new(EventFd::new().map_err(said("eventfd"))?);
    let start::PacketPath { tables, inboxes, mut devices, installer, places } =
        start::lay(&config, queues.len(), own, taken.is_some())?;
    if taken.is_none() {
        network.attach(ceiling::of_device(&config, is_shared)).map_err(said("the device"))?;
        devices.tick(clock::now());
    }

    // Its thread starts programs: it is there before that is forbidden.
    let hook = config.gateway.hook.clone().map(hook::Hook::start).transpose().map_err(said("the hook"))?;
    // Names of groups may be anywhere: in files, or with another daemon.
    let roles = Roles::of(socket.owner());
    privileges::confine(&config)?;

    let workers =
        workers::Workers::new(&tables, DEVICE, queues, of_workers, inboxes, config.gateway.pin_workers, wake.clone())
            .map_err(said("workers"))?;
    let threads = system::usable_cores().min(2);
    let pool = compute::Pool::start(threads, wake.clone()).map_err(said("compute threads"))?;
    let fetcher = fetch::Fetcher::start(config.gateway.mark, wake.clone()).map_err(said("fetcher"))?;
    let host = host::DaemonHost::new(places, tables, config.gateway.mark, wake.clone()).map_err(said("resolver"))?;
    let start::Desk { api, from_api, from_clients, journal } =
        start::desk(&wake, &installer, &workers, metrics.clone());
    let (to_engine, keeper, meter) = (api.engine.clone(), api.keeper.clone(), api.meter.clone());
    let warnings = preflight::warnings(&config);
    warnings.iter().chain(&network.warnings).for_each(|warning| tracing::warn!("{warning}"));
    let mut engine = Engine::new(Parts {
        path,
        config,
        host,
        installer,
        network,
        devices,
        sockets,
        pool,
        fetcher,
        hook,
        workers,
        requests: from_api,
        journal,
        meter,
        wake,
        signals,
        warnings,
        front: (entrance.front.take(), entrance.lost.take()),
        doors,
        metrics,
        notes: begun.notes.clone(),
        keeper,
    })
    .map_err(said("engine"))?;
    if let Some(state) = entrance.state()? {
        if taken.is_some_and(|taken| taken != state.descriptors) {
            return Err("its sockets or devices have changed meanwhile: upgrade again".into());
        }
        engine.resume(clock::now(), &state).map_err(|error| format!("what was handed over is refused: {error}"))?;
    }
    let taken = entrance.take(engine.sas())?;
    socket.keep();
    observe.iter_mut().for_each(ControlSocket::keep);
    let at_work = engine.begin()?;
    let keeper = begun.start(to_engine, from_clients, api.meter.clone()).map_err(said("keeper"))?;
    let server = Server::start(&socket, observe.as_ref(), roles, api).map_err(said("the control API"))?;
    engine.ready(at_work, taken.as_ref());
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "sandhogd is ready");

    let end = engine.run().map_err(said("engine"));
    if end == Ok(End::HandedOver) {
        socket.leave();
        observe.iter_mut().for_each(ControlSocket::leave);
    }
    drop(server);
    let stopped = stop(engine.into_parts(), &end);
    // Nobody gives it orders any more; what it has begun to write it writes.
    let _ = keeper.join();
    stopped?;
    drop((socket, observe));
    end
}

/// Takes everything down; what keeps protected packets in goes last, if it goes at all.
fn stop(parts: Parts, end: &Result<End, String>) -> Result<(), String> {
    let Parts { workers, pool, devices, mut network, config, keeper, .. } = parts;
    // Without this the keeper goes, and lets go of state_dir, before hooks are waited for.
    drop((pool, keeper));
    if *end == Ok(End::HandedOver) {
        // Routes and the guard are the other's.
        return Ok(());
    }
    // Only `open` takes protection away, and it must not end before the device has: a packet in between would pass in the clear.
    drop((workers, devices));
    let on_exit = leaving(end, config.gateway.on_exit);
    network.leave(on_exit).map_err(|error| format!("routes could not be left as `on_exit` says: {error}"))?;
    if on_exit == OnExit::Open {
        tracing::info!("stopped; nothing is protected any more");
    } else {
        tracing::info!("stopped");
    }
    Ok(())
}

/// Who was told to stop leaves what the configuration says; after any other end the tunnel is still wanted, and nothing may pass around it.
fn leaving(end: &Result<End, String>, on_exit: OnExit) -> OnExit {
    if *end == Ok(End::Told) { on_exit } else { OnExit::Closed }
}

fn workers_of(config: &Config) -> u8 {
    let wanted = match config.gateway.workers {
        0 => system::usable_cores(),
        n => n.into(),
    };
    u8::try_from(wanted.clamp(1, MAX_WORKERS)).unwrap_or(1)
}

/// Its children are on the gateway's device.
fn is_shared(connection: &ConnectionConfig) -> bool {
    connection.interface.is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_stop_that_was_asked_for_opens() {
        assert_eq!(leaving(&Ok(End::Told), OnExit::Open), OnExit::Open);
        assert_eq!(leaving(&Ok(End::Told), OnExit::Closed), OnExit::Closed);
        assert_eq!(leaving(&Ok(End::LostDevice), OnExit::Open), OnExit::Closed);
        assert_eq!(leaving(&Err("engine: no memory".into()), OnExit::Open), OnExit::Closed);
    }
}
