//! The services of a running relay, each known by its name, even by one that broke.

use std::collections::HashMap;

use tokio::task::{Id, JoinSet};

/// Tasks that should all run until the relay stops. Dropped, they are cut off.
#[derive(Debug, Default)]
pub(crate) struct Services {
    tasks: JoinSet<()>,
    names: HashMap<Id, &'static str>,
}

impl Services {
    /// Sets `service` going.
    pub(crate) fn start(
        &mut self,
        name: &'static str,
        service: impl Future<Output = ()> + Send + 'static,
    ) {
        let task = self.tasks.spawn(service);
        self.names.insert(task.id(), name);
    }

    /// Waits until one ends, in order or by a panic, and gives its name; none when all have ended.
    pub(crate) async fn next_end(&mut self) -> Option<&'static str> {
        let id = match self.tasks.join_next_with_id().await? {
            Ok((id, ())) => id,
            // The panic itself is in the log.
            Err(error) => error.id(),
        };
        Some(self.names.remove(&id).unwrap_or("a part"))
    }

    /// Cuts off those that still run.
    pub(crate) async fn cut_off(&mut self) {
        self.tasks.shutdown().await;
        self.names.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    #[tokio::test]
    async fn whoever_ends_is_named_however_it_ends() {
        let mut services = Services::default();
        services.start("steady", pending());
        services.start("brief", async {});
        assert_eq!(services.next_end().await, Some("brief"));
        services.start("faulty", async { panic!("a fault on purpose") });
        assert_eq!(services.next_end().await, Some("faulty"));
        services.cut_off().await;
        assert_eq!(services.next_end().await, None);
    }
}
