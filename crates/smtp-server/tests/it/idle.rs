//! Many connections that say nothing for a while.

use smtp_server::Listener;

use crate::relay::{Relay, listener};

const CLIENTS: usize = 250;

#[tokio::test]
async fn hundreds_of_idle_connections_are_all_still_served() {
    let mut relay = Relay::start(Listener { connections_per_client_max: CLIENTS, ..listener() });
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        clients.push(relay.client().await);
    }
    let open = "reception_connections{listener=\"smtp\"}";
    relay.until(|relay| relay.metric(open) > 249.5).await;
    let long = format!("Subject: long\r\n\r\n{}", "All of it must arrive.\r\n".repeat(4000));
    for (number, client) in clients.iter_mut().enumerate() {
        // Some go on in the middle of a transaction, some in the middle of a command.
        match number % 5 {
            0 => client.message("Subject: short\r\n\r\n").await.is("250 2.0.0"),
            1 if number < 50 => client.message(&long).await.is("250 2.0.0"),
            2 => client.say("MAIL FROM:<a@client.test>").await.is("250 2.1.0"),
            3 => client.send("NO").await,
            _ => client.say("NOOP").await.is("250"),
        }
        while relay.accepted.try_recv().is_some() {}
    }
    for (number, client) in clients.iter_mut().enumerate() {
        match number % 5 {
            2 => client.say("RCPT TO:<b@example.com>").await.is("250 2.1.5"),
            3 => client.say("OP").await.is("250"),
            _ => client.say("NOOP").await.is("250"),
        }
    }
    assert_eq!(relay.spool.counts().messages, 60);
    drop(clients);
    relay.until(|relay| relay.metric(open) == 0.0).await;
    relay.ended().await;
}
