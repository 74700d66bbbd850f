//! What codec and session cost for a message, without sockets and spool.
#![expect(clippy::unwrap_used, reason = "a measurement that cannot be set up shall stop")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use mail::{Accepted, MessageId, Timestamp};
use smtp_session::server::{Security, Session, Settings, Step, Verdict};
use units::Clock;

const COMMANDS: &[u8] =
    b"MAIL FROM:<sender@source.example> SIZE=10240\r\nRCPT TO:<user@destination.example>\r\nDATA\r\n";

fn receive(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("server_session");
    let now = Clock::system().now();
    let envelope = Arc::new(benches::envelope());
    let accepted = Accepted {
        id: MessageId::new(1, 1),
        envelope,
        received_at: Timestamp::from_millis(0),
        octets: 0,
    };
    for kib in [2, 10, 100] {
        let mut payload = benches::content(kib * 1024).to_vec();
        payload.extend_from_slice(b".\r\n");
        let payload = Bytes::from(payload);
        let mut session = session(now);
        session.receive(Bytes::from_static(b"EHLO source.example\r\n"), now);
        run(&mut session, &accepted, now);
        group.throughput(Throughput::Bytes(u64::try_from(payload.len()).unwrap()));
        group.bench_function(BenchmarkId::new("message", format!("{kib}KiB")), |bencher| {
            bencher.iter(|| {
                session.receive(Bytes::from_static(COMMANDS), now);
                run(&mut session, &accepted, now);
                for start in (0..payload.len()).step_by(64 * 1024) {
                    session
                        .receive(payload.slice(start..payload.len().min(start + 64 * 1024)), now);
                    run(&mut session, &accepted, now);
                }
            });
        });
    }
    group.finish();
}

fn session(now: Instant) -> Session {
    let settings = Settings {
        hostname: "relay.example".into(),
        message_octets_max: 50 << 20,
        recipients_max: 100,
        command_octets_max: 4096,
        header_octets_max: 1 << 20,
        text_line_octets_max: 1 << 20,
        hops_max: 100,
        bad_commands_max: 20,
        idle_wait_max: Duration::from_mins(5),
        data_wait_max: Duration::from_mins(5),
        session_wait_max: Duration::from_hours(24),
        transactions_max: u32::MAX,
    };
    let security = Security { offers_starttls: false, requires_tls: false };
    Session::new(Arc::new(settings), security, now)
}

/// Does what the session says, as a relay would that takes everything.
fn run(session: &mut Session, accepted: &Accepted, now: Instant) {
    while let Some(step) = session.next_step() {
        match step {
            Step::Ask(_) => session.decide(Verdict::Accept, now),
            Step::Commit(_) => session.stored(accepted, now),
            step => drop(std::hint::black_box(step)),
        }
    }
}

criterion_group!(benches, receive);
criterion_main!(benches);
