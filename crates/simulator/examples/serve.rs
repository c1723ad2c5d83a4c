//! Serves until a line arrives on standard input: `cargo run -p trunkline-simulator --example serve -- [none|some|hostile]`.

use trunkline_simulator::{Faults, Simulator};

#[tokio::main]
#[expect(clippy::print_stdout, reason = "what a program prints is its interface")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let faults: Faults = std::env::args().nth(1).as_deref().unwrap_or("none").parse()?;
    let simulator = Simulator::builder().faults(faults).start().await?;
    println!("{} {} {}", simulator.base_url(), simulator.api_key(), simulator.signing_secret());
    tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new())).await??;
    println!("{:?}", simulator.book());
    simulator.stop().await;
    Ok(())
}
