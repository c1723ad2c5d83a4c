//! The clients over loopback TCP: each measurement in a fresh process, rounds alternating, the server in a process of its own.

mod figures;

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::resource::{UsageWho, getrusage};
use serde::{Deserialize, Serialize};
use trunkline::{SystemClock, metrics::PrometheusExporter};

use crate::contenders::{Contender, Full, HyperUtil, Kind, OurBare, Reqwest, Telnyx};
use crate::machine;
use crate::report::Group;
use figures::Figures;

/// Calls under way at once, and how many calls one measurement makes.
const LEVELS: [(usize, usize); 2] = [(1, 20_000), (64, 60_000)];

/// What one process measured.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Measured {
    /// Calls a second.
    rate: f64,
    /// Processor time of the client's process, microseconds a call.
    cpu: f64,
    /// That time over the time that passed: 1 where nothing but the client was the limit.
    busy: f64,
}

/// Runs all rounds and adds the tables.
pub(crate) fn measure(rounds: usize, group: &mut Group) -> Result<()> {
    for (in_flight, calls) in LEVELS {
        let mut figures = Figures::new(in_flight);
        for round in 0..rounds {
            // Who goes first changes, so that a slow minute meets everybody.
            for at in 0..Kind::ALL.len() {
                let kind = Kind::ALL[(at + round) % Kind::ALL.len()];
                figures.add(kind, once(kind, in_flight, calls)?);
            }
        }
        figures.report(group);
    }
    Ok(())
}

/// One measurement: a fresh server and a fresh client.
fn once(kind: Kind, in_flight: usize, calls: usize) -> Result<Measured> {
    let itself = std::env::current_exe().context("cannot find this program's own file")?;
    let server = Command::new(&itself).arg("serve").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut server = Server(server.context("cannot start the server")?);
    let mut address = String::new();
    let printed = server.0.stdout.take().context("the server has no stdout")?;
    BufReader::new(printed).read_line(&mut address).context("the server printed no address")?;
    let (in_flight, calls) = (in_flight.to_string(), calls.to_string());
    let mut client = Command::new(itself);
    client.args(["client", "--kind", kind.argument(), "--server", address.trim()]);
    client.args(["--in-flight", &in_flight, "--calls", &calls]).env("NO_PROXY", "127.0.0.1");
    let output = client.stderr(Stdio::inherit()).output().context("cannot start a client")?;
    if !output.status.success() {
        bail!("{} failed ({})", kind.name(), output.status);
    }
    serde_json::from_slice(&output.stdout).context("a client printed no result")
}

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// The client's process: prints one line.
pub(crate) fn client(kind: Kind, server: SocketAddr, in_flight: usize, calls: usize) -> Result<()> {
    machine::pin(0);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let measured = runtime.block_on(async {
        match kind {
            Kind::OurBare => load::<OurBare>(server, in_flight, calls).await,
            Kind::Full => load::<Full>(server, in_flight, calls).await,
            Kind::FullRecorded => {
                let exporter = PrometheusExporter::new(Arc::new(SystemClock::new()));
                let _exporter = exporter.listen(([127, 0, 0, 1], 0).into()).install()?;
                load::<Full>(server, in_flight, calls).await
            }
            Kind::HyperUtil => load::<HyperUtil>(server, in_flight, calls).await,
            Kind::Reqwest => load::<Reqwest>(server, in_flight, calls).await,
            Kind::Telnyx => load::<Telnyx>(server, in_flight, calls).await,
        }
    })?;
    println!("{}", serde_json::to_string(&measured)?);
    Ok(())
}

async fn load<C: Contender>(server: SocketAddr, in_flight: usize, calls: usize) -> Result<Measured> {
    let client = Arc::new(C::new(server)?);
    drive(&client, in_flight, calls / 4).await?;
    let (began, used) = (now(), used()?);
    drive(&client, in_flight, calls).await?;
    let (took, cpu) = (began.elapsed().as_secs_f64(), (self::used()? - used).as_secs_f64());
    let calls = calls as f64;
    Ok(Measured { rate: calls / took, cpu: cpu * 1e6 / calls, busy: cpu / took })
}

pub(crate) async fn drive<C: Contender>(client: &Arc<C>, in_flight: usize, calls: usize) -> Result<()> {
    let workers: Vec<_> = (0..in_flight)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move {
                for _ in 0..calls / in_flight {
                    client.call().await?;
                }
                anyhow::Ok(())
            })
        })
        .collect();
    for worker in workers {
        worker.await??;
    }
    Ok(())
}

/// Processor time of this process so far, user and system.
pub(crate) fn used() -> Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_SELF).context("the system tells no processor time")?;
    let micros = |time: nix::sys::time::TimeVal| {
        Duration::from_micros(time.tv_sec().unsigned_abs() * 1_000_000 + time.tv_usec().unsigned_abs())
    };
    Ok(micros(usage.user_time()) + micros(usage.system_time()))
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
