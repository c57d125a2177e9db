//! Looking up the names of peers by mDNS (RFC 6762 §5): one set of sockets for all, as long as somebody asks.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rtcast_proto::ice::{mdns_answers, mdns_query};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};
use tracing::debug;

use super::mdns::{MAX_MESSAGE, Network, PORT, networks, receive};

/// Names that are asked for at a time, of all connections.
const MAX_AT_A_TIME: usize = 64;

/// How long a name waits until it is asked for, when there are more.
const QUEUE_PATIENCE: Duration = Duration::from_secs(10);

/// When the question is asked, and when it is given up. RFC 6762 §5.2 asks for a second at least between the first two;
/// a name of ICE lives for minutes only, and who waits for it is a person.
const WAITS: [Duration; 3] = [Duration::from_millis(250), Duration::from_secs(1), Duration::from_secs(3)];

/// How long the sockets stay open for the next question.
const IDLE: Duration = Duration::from_secs(30);

/// A name that somebody asks for.
struct Question {
    name: String,
    query: Vec<u8>,
    reply: oneshot::Sender<IpAddr>,
}

/// The first address of a name that somebody in our networks answers with.
pub(super) async fn resolve(name: &str) -> Option<IpAddr> {
    static FREE: Semaphore = Semaphore::const_new(MAX_AT_A_TIME);
    let query = mdns_query(name)?;
    let Ok(Ok(_place)) = timeout(QUEUE_PATIENCE, FREE.acquire()).await else {
        debug!(name, "too many names are being looked up");
        return None;
    };
    // The task that asks ends when it is idle, or with the runtime that it was started on; then the next one asks again.
    for _ in 0..2 {
        let (reply, answer) = oneshot::channel();
        let question = Question { name: name.to_owned(), query: query.clone(), reply };
        let before = Instant::now();
        if resolver().send(question).await.is_err() {
            continue;
        }
        if let Ok(address) = answer.await {
            return Some(address);
        }
        if before.elapsed() >= WAITS[0] {
            return None;
        }
    }
    None
}

/// The task that asks for names; it is started if there is none.
fn resolver() -> mpsc::Sender<Question> {
    static RESOLVER: Mutex<Option<mpsc::Sender<Question>>> = Mutex::new(None);
    let mut resolver = RESOLVER.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(questions) = resolver.as_ref().filter(|questions| !questions.is_closed()) {
        return questions.clone();
    }
    let (questions, asked) = mpsc::channel(MAX_AT_A_TIME);
    tokio::spawn(answer_all(asked));
    resolver.insert(questions).clone()
}

/// A question that waits for its answer.
struct Open {
    question: Question,
    asked: usize,
    next: Instant,
}

async fn answer_all(mut questions: mpsc::Receiver<Question>) {
    // As any responder, on the port of mDNS: some answer to the whole group only.
    let networks = match networks(PORT).or_else(|_| networks(0)) {
        Ok(networks) => networks,
        Err(error) => {
            debug!(%error, "names cannot be asked for by mDNS");
            return;
        }
    };
    let mut buffer = vec![0; MAX_MESSAGE];
    let mut open: Vec<Open> = Vec::new();
    loop {
        let due = open.iter().map(|open| open.next).min();
        tokio::select! {
            question = questions.recv() => {
                let Some(question) = question else { return };
                open.push(Open { question, asked: 0, next: Instant::now() });
            }
            (_, _, length) = receive(&networks, &mut buffer) => {
                for at in (0..open.len()).rev() {
                    if let Some(address) = mdns_answers(&buffer[..length], &open[at].question.name).first() {
                        // Whoever asked may have gone.
                        let _ = open.swap_remove(at).question.reply.send(*address);
                    }
                }
            }
            () = sleep_until(due.unwrap_or_else(|| Instant::now() + IDLE)) => {
                if due.is_none() {
                    return;
                }
            }
        }
        ask(&networks, &mut open).await;
    }
}

/// Asks what is due, and gives up what was asked often enough.
async fn ask(networks: &[Network], open: &mut Vec<Open>) {
    let now = Instant::now();
    open.retain(|open| !open.question.reply.is_closed() && (open.next > now || open.asked < WAITS.len()));
    for open in open.iter_mut().filter(|open| open.next <= now) {
        for network in networks {
            network.tell(&open.question.query).await;
        }
        open.next = now + WAITS[open.asked];
        open.asked += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn many_names_take_no_more_sockets_than_one() {
        let descriptors = || std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
        let ask = |number: usize| {
            tokio::spawn(async move {
                let _ = resolve(&format!("0d3c5dbe-4c53-4bd8-a8de-{number:012x}.local")).await;
            })
        };
        let first = ask(0);
        tokio::time::sleep(Duration::from_millis(50)).await;
        let one = descriptors();
        let more: Vec<_> = (1..50).map(ask).collect();
        tokio::time::sleep(Duration::from_millis(50)).await;
        // Other tests of this program open a few of their own meanwhile.
        let many = descriptors();
        assert!(many < one + 49, "{one} descriptors for one name, {many} for fifty");
        first.abort();
        more.iter().for_each(|task| task.abort());
    }
}
