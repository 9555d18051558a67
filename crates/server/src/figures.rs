//! The figures of a running server that `magpie status` shows, read where they are kept.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use crate::handle::{Figures, SlowClient};
use crate::logins::Logins;
use crate::tally::Tallies;
use crate::watchdog;

/// Reads them; the server began at `began`.
pub(crate) fn reader(
    began: Instant,
    data: &Path,
    tallies: &Tallies,
    logins: &Arc<Logins>,
) -> impl Fn() -> Figures + Send + Sync + 'static {
    let data = std::path::absolute(data).unwrap_or_else(|_| data.to_owned());
    let (tallies, logins) = (tallies.clone(), logins.clone());
    move || {
        let total = tallies.total();
        let population = total.population;
        Figures {
            uptime_secs: began.elapsed().as_secs(),
            data: data.clone(),
            connections: population.connections as u64,
            sessions: population.sessions as u64,
            accounts: logins.directory().accounts() as u64,
            disk_free_bytes: watchdog::free_bytes(&data).ok(),
            slow_clients: total.slowest.into_iter().map(slow_client).collect(),
            latencies: total.latencies,
        }
    }
}

fn slow_client(slow: broker::SlowClient) -> SlowClient {
    SlowClient {
        account: slow.client.account.map(|name| name.to_string()),
        client_id: slow.client.client_id.to_string(),
        messages: slow.messages,
        bytes: slow.bytes,
    }
}
