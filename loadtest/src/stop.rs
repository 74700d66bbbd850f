//! Being asked to end, by Ctrl-C or SIGTERM: what was started is stopped first.

use std::sync::Arc;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Says whether this program was asked to end.
#[derive(Clone, Debug)]
pub(crate) struct Stop {
    asked: watch::Receiver<bool>,
    /// Held so that waiting never ends by itself.
    ask: Arc<watch::Sender<bool>>,
}

impl Stop {
    /// Listens for signals from now on, in a thread of its own.
    pub(crate) fn listen() -> anyhow::Result<Self> {
        let stop = Self::never();
        let ask = Arc::clone(&stop.ask);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let listen = move || {
            runtime.block_on(async move {
                let mut interrupt = signal(SignalKind::interrupt())?;
                let mut terminate = signal(SignalKind::terminate())?;
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                ask.send_replace(true);
                Ok::<_, std::io::Error>(())
            })
        };
        let thread = std::thread::Builder::new().name("signals".to_owned());
        thread.spawn(listen).context("no thread could be started")?;
        Ok(stop)
    }

    /// Nobody can ask.
    pub(crate) fn never() -> Self {
        let (ask, asked) = watch::channel(false);
        Self { asked, ask: Arc::new(ask) }
    }

    pub(crate) fn is_asked(&self) -> bool {
        *self.asked.borrow()
    }

    /// Waits until somebody asks.
    pub(crate) async fn wait(&self) {
        let mut asked = self.asked.clone();
        // The sender lives as long as this does.
        asked.wait_for(|asked| *asked).await.ok();
    }
}
