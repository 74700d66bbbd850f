//! The queue: a ring of values, a wake-up for the receiver and one for waiting senders.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

use crossbeam_queue::ArrayQueue;
use futures_util::task::AtomicWaker;
use tokio::sync::Notify;

struct Shared<T> {
    ring: ArrayQueue<T>,
    /// Wakes the one receiver; registered before it looks a last time, so no value is missed.
    receiver: AtomicWaker,
    /// Wakes senders that wait for room; touched only when one waits.
    room: Notify,
    waiting_senders: AtomicUsize,
    senders: AtomicUsize,
    is_closed: AtomicBool,
}

impl<T> Shared<T> {
    /// Drops what nobody will take any more, so that who waits for an answer to it learns so.
    fn clear(&self) {
        while self.ring.pop().is_some() {}
    }
}

/// Makes a queue that holds at most `capacity` values.
pub fn bounded<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let shared = Arc::new(Shared {
        ring: ArrayQueue::new(capacity.max(1)),
        receiver: AtomicWaker::new(),
        room: Notify::new(),
        waiting_senders: AtomicUsize::new(0),
        senders: AtomicUsize::new(1),
        is_closed: AtomicBool::new(false),
    });
    (Sender { shared: Arc::clone(&shared) }, Receiver { shared })
}

/// The end that puts values in. Clone it for each producer; the last one dropped ends the queue.
pub struct Sender<T> {
    shared: Arc<Shared<T>>,
}

/// A value that could not be sent at once, given back.
#[derive(Debug, PartialEq, Eq)]
pub enum TrySendError<T> {
    /// No room now: tell the peer to come back, or wait with [`Sender::send`].
    Full(T),
    /// The receiver is gone; this stage is stopping.
    Closed(T),
}

/// The receiver is gone; the value is given back.
#[derive(Debug, PartialEq, Eq)]
pub struct SendError<T>(pub T);

/// Every sender is gone and the queue is empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed;

impl<T> Sender<T> {
    /// Puts `value` in, or gives it back at once.
    pub fn try_send(&self, value: T) -> Result<(), TrySendError<T>> {
        if self.shared.is_closed.load(Ordering::Acquire) {
            return Err(TrySendError::Closed(value));
        }
        self.shared.ring.push(value).map_err(TrySendError::Full)?;
        // The fences pair with those of the receiver's end: either it sees the value, or this sees that it went.
        fence(Ordering::SeqCst);
        if self.shared.is_closed.load(Ordering::Acquire) {
            self.shared.clear();
        } else {
            self.shared.receiver.wake();
        }
        Ok(())
    }

    /// Puts `value` in, waiting for room if there is none.
    pub async fn send(&self, value: T) -> Result<(), SendError<T>> {
        let mut value = match self.try_send(value) {
            Ok(()) => return Ok(()),
            Err(TrySendError::Closed(value)) => return Err(SendError(value)),
            Err(TrySendError::Full(value)) => value,
        };
        let _waiting = Waiting::new(&self.shared.waiting_senders);
        loop {
            let room = self.shared.room.notified();
            tokio::pin!(room);
            // Enabled before the last look, so that room made in between is not missed.
            room.as_mut().enable();
            value = match self.try_send(value) {
                Ok(()) => return Ok(()),
                Err(TrySendError::Closed(value)) => return Err(SendError(value)),
                Err(TrySendError::Full(value)) => value,
            };
            room.await;
        }
    }

    /// Whether the receiver is gone.
    pub fn is_closed(&self) -> bool {
        self.shared.is_closed.load(Ordering::Acquire)
    }

    /// A view of the depth, for a metric.
    pub fn depth(&self) -> Depth
    where
        T: Send + 'static,
    {
        let shared = Arc::clone(&self.shared);
        Depth { capacity: shared.ring.capacity(), len: Arc::new(move || shared.ring.len()) }
    }
}

/// Counts a waiting sender for as long as it waits, even if its task is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.shared.senders.fetch_add(1, Ordering::Relaxed);
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        if self.shared.senders.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.shared.receiver.wake();
        }
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Sender({}/{})", self.shared.ring.len(), self.shared.ring.capacity())
    }
}

/// The end that takes values out. There is one.
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
}

impl<T> Receiver<T> {
    /// Takes a value if there is one.
    pub fn try_recv(&mut self) -> Option<T> {
        let value = self.shared.ring.pop()?;
        // SeqCst pairs with the sender that counts itself and then tries a last time.
        if self.shared.waiting_senders.load(Ordering::SeqCst) > 0 {
            self.shared.room.notify_one();
        }
        Some(value)
    }

    /// Takes a value, waiting for one; ends when all senders are gone and the queue is empty.
    pub async fn recv(&mut self) -> Result<T, Closed> {
        poll_fn(|context| self.poll_recv(context)).await
    }

    /// As [`Self::recv`], on a thread that may sleep.
    pub fn recv_blocking(&mut self) -> Result<T, Closed> {
        if let Some(value) = self.try_recv() {
            return Ok(value);
        }
        let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
        let mut context = Context::from_waker(&waker);
        loop {
            match self.poll_recv(&mut context) {
                Poll::Ready(result) => return result,
                Poll::Pending => std::thread::park(),
            }
        }
    }

    /// The number of values that wait.
    pub fn len(&self) -> usize {
        self.shared.ring.len()
    }

    /// Whether no value waits.
    pub fn is_empty(&self) -> bool {
        self.shared.ring.is_empty()
    }

    /// Takes a value, or arranges that `context` is woken when one comes.
    pub fn poll_recv(&mut self, context: &mut Context<'_>) -> Poll<Result<T, Closed>> {
        if let Some(value) = self.try_recv() {
            return Poll::Ready(Ok(value));
        }
        self.shared.receiver.register(context.waker());
        // The order matters: a sender pushes before it goes, so look at the count first.
        let are_all_gone = self.shared.senders.load(Ordering::Acquire) == 0;
        match self.try_recv() {
            Some(value) => Poll::Ready(Ok(value)),
            None if are_all_gone => Poll::Ready(Err(Closed)),
            None => Poll::Pending,
        }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.shared.is_closed.store(true, Ordering::Release);
        fence(Ordering::SeqCst);
        self.shared.clear();
        self.shared.room.notify_waiters();
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Receiver({}/{})", self.shared.ring.len(), self.shared.ring.capacity())
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.unpark();
    }
}

/// How full a queue is; keeps neither end open.
#[derive(Clone)]
pub struct Depth {
    capacity: usize,
    len: Arc<dyn Fn() -> usize + Send + Sync>,
}

impl Depth {
    /// Values that wait now.
    pub fn len(&self) -> usize {
        (self.len)()
    }

    /// Whether no value waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Values that fit.
    pub const fn capacity(&self) -> usize {
        self.capacity
    }

    /// Whether so little room is left, an eighth of it, that no more work should be begun that ends here.
    pub fn is_nearly_full(&self) -> bool {
        self.len() * 8 >= self.capacity * 7
    }
}

impl fmt::Debug for Depth {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Depth({}/{})", self.len(), self.capacity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seven_eighths_are_nearly_full() {
        let (sender, mut receiver) = bounded(16);
        let depth = sender.depth();
        for number in 0..13 {
            sender.try_send(number).unwrap();
        }
        assert!(!depth.is_nearly_full());
        sender.try_send(13).unwrap();
        assert!(depth.is_nearly_full());
        assert_eq!((receiver.try_recv(), depth.is_nearly_full()), (Some(0), false));
    }

    #[test]
    fn a_full_queue_gives_the_value_back() {
        let (sender, mut receiver) = bounded(2);
        assert_eq!((sender.try_send(1), sender.try_send(2)), (Ok(()), Ok(())));
        assert_eq!(sender.try_send(3), Err(TrySendError::Full(3)));
        assert_eq!((receiver.try_recv(), sender.try_send(3)), (Some(1), Ok(())));
        assert_eq!(sender.depth().len(), 2);
        drop(receiver);
        assert_eq!(sender.try_send(4), Err(TrySendError::Closed(4)));
    }

    #[test]
    fn values_sent_before_the_last_sender_goes_arrive() {
        let (sender, mut receiver) = bounded(8);
        sender.clone().try_send(1).unwrap();
        drop(sender);
        assert_eq!((receiver.recv_blocking(), receiver.recv_blocking()), (Ok(1), Err(Closed)));
    }

    /// Every value of many threads arrives once, in each thread's order, through a queue far too small.
    #[test]
    fn nothing_is_lost_or_doubled_under_contention() {
        const PRODUCERS: usize = 4;
        const EACH: usize = 20_000;
        let (sender, mut receiver) = bounded(3);
        let threads: Vec<_> = (0..PRODUCERS)
            .map(|producer| {
                let sender = sender.clone();
                std::thread::spawn(move || {
                    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                    runtime.block_on(async {
                        for number in 0..EACH {
                            sender.send((producer, number)).await.unwrap();
                        }
                    });
                })
            })
            .collect();
        drop(sender);
        let mut next = [0; PRODUCERS];
        while let Ok((producer, number)) = receiver.recv_blocking() {
            assert_eq!(number, next[producer]);
            next[producer] += 1;
        }
        assert_eq!(next, [EACH; PRODUCERS]);
        for thread in threads {
            thread.join().unwrap();
        }
    }

    /// No value stays behind in a queue whose receiver goes while senders send.
    #[test]
    fn what_nobody_takes_is_dropped() {
        for _ in 0..2_000 {
            let (sender, receiver) = bounded(8);
            let alive = Arc::new(());
            let value = Arc::clone(&alive);
            let going = std::thread::spawn(move || drop(receiver));
            drop(sender.try_send(value));
            going.join().unwrap();
            assert_eq!(Arc::strong_count(&alive), 1);
        }
    }

    /// A sender that waits for room learns that the receiver went.
    #[tokio::test]
    async fn a_waiting_sender_is_told_of_the_end() {
        let (sender, receiver) = bounded(1);
        sender.try_send(1).unwrap();
        let waiting = tokio::spawn(async move { sender.send(2).await });
        tokio::task::yield_now().await;
        drop(receiver);
        assert_eq!(waiting.await.unwrap(), Err(SendError(2)));
    }
}
