//! The least relay, of which the reference page of metrics is made.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, anyhow};
use units::Clock;

use crate::look;
use crate::running::Running;
use crate::wire::start;

/// The least that a relay can be started with.
pub(crate) const SETTINGS: &str = "hostname = \"relay.example.com\"
[[listener]]
name = \"smtp\"
address = \"127.0.0.1:0\"
[[inbound]]
name = \"applications\"
sender_ip_addresses = [\"127.0.0.0/8\"]
daily_messages_max = 1000
[[outbound]]
name = \"internet\"
daily_messages_max = 1000
[resolver]
servers = [\"127.0.0.1:9\"]
[admin]
listen = \"127.0.0.1:0\"
";

/// Starts a relay with its spool in `folder`.
async fn least(folder: &Path) -> Result<Running> {
    let mut settings = settings::parse(SETTINGS, Path::new("families"))?;
    settings.admin.socket = folder.join("admin.sock");
    settings.spool.path = folder.join("spool");
    let policy = look::decisions(&settings).map_err(|found| anyhow!("{found:?}"))?;
    start((settings, policy), None, Clock::system()).await
}

/// The families of a relay's metrics, found by starting one with its spool in `folder`; for the reference page.
pub async fn families(folder: &Path) -> Result<Vec<telemetry::Family>> {
    let running = least(folder).await?;
    // Services register when they begin, each on its own thread: wait until no more comes.
    let (mut families, mut same_times) = (Vec::new(), 0);
    while same_times < 5 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let now = running.registry().families();
        same_times = if now == families { same_times + 1 } else { 0 };
        families = now;
    }
    running.stop(std::future::pending()).await;
    Ok(families)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_part_that_breaks_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let mut running = least(folder.path()).await.unwrap();
        running.services.start("brief", async {});
        assert_eq!(running.broken().await, "brief");
        running.services.start("faulty", async { panic!("a fault on purpose") });
        assert_eq!(running.broken().await, "faulty");
        running.stop(std::future::pending()).await;
    }
}
