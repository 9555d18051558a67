//! nats-server: MQTT needs JetStream, which keeps QoS 1 in files. More than its 1,024 unacknowledged messages are allowed,
//! as fan-in has one subscriber for everything.

use std::fs;
use std::path::Path;

use anyhow::Result;

use super::running::{Start, free_port};

pub(super) fn start(program: &Path, folder: &Path, port: u16) -> Result<Start> {
    let own = free_port()?;
    let config = format!(
        "listen: \"127.0.0.1:{own}\"\nserver_name: bench\nmax_connections: 100000\n\
         jetstream {{ store_dir: \"{}/jetstream\" }}\n\
         mqtt {{ listen: \"127.0.0.1:{port}\", max_ack_pending: 65535 }}\n",
        folder.display()
    );
    fs::write(folder.join("nats.conf"), config)?;
    Ok(Start::new(
        program,
        vec!["-c".to_owned(), "nats.conf".to_owned()],
    ))
}
