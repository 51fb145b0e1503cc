// SPDX-License-Identifier: Apache-2.0
//! Names of addresses by reverse DNS (man getnameinfo(3)). A thread of their own asks for them, and
//! an event waits for a moment at most: it goes without a name that comes later, the next has it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use dns_lookup::lookup_addr;

use crate::sync::lock;

/// How long an event waits: a resolver nearby answers in a few milliseconds.
const WAIT: Duration = Duration::from_millis(20);
/// How long an answer is good.
const KEPT: Duration = Duration::from_secs(600);
/// Answers that are kept.
const MOST_KEPT: usize = 1024;
/// Questions that wait for a resolver which is slow.
const MOST_ASKED: usize = 16;
/// Bytes of a name (RFC 1035, 2.3.4).
const LONGEST: usize = 253;

/// The names that are known.
pub struct HostNames {
    questions: SyncSender<IpAddr>,
    known: Arc<Known>,
}

#[derive(Default)]
struct Known {
    answers: Mutex<HashMap<IpAddr, Answer>>,
    answered: Condvar,
}

enum Answer {
    Asked,
    /// No name is an answer, too.
    Got(Option<Arc<str>>, Instant),
}

impl HostNames {
    /// Asks the resolver of the machine (man nsswitch.conf(5)).
    pub fn of_machine() -> std::io::Result<Self> {
        Self::asking(|address| lookup_addr(&address).ok())
    }

    fn asking(
        look_up: impl Fn(IpAddr) -> Option<String> + Send + 'static,
    ) -> std::io::Result<Self> {
        let (questions, asked) = sync_channel(MOST_ASKED);
        let known = Arc::new(Known::default());
        let of_thread = Arc::clone(&known);
        std::thread::Builder::new()
            .name("host-names".to_owned())
            .spawn(move || answer(&asked, &of_thread, look_up))?;
        Ok(Self { questions, known })
    }

    /// The name of `address`, if it is known or comes at once.
    pub fn name(&self, address: IpAddr) -> Option<Arc<str>> {
        let mut answers = lock(&self.known.answers);
        match answers.get(&address) {
            Some(Answer::Got(name, at)) if at.elapsed() < KEPT => return name.clone(),
            Some(Answer::Asked) => return None,
            _ => {}
        }
        // Asked at another time where too many wait already.
        self.questions.try_send(address).ok()?;
        if answers.len() >= MOST_KEPT {
            answers.retain(|_, answer| matches!(answer, Answer::Asked));
        }
        answers.insert(address, Answer::Asked);
        let is_asked = |answers: &mut HashMap<IpAddr, Answer>| {
            matches!(answers.get(&address), Some(Answer::Asked))
        };
        let waited = self.known.answered.wait_timeout_while(answers, WAIT, is_asked);
        let (answers, _) = waited.unwrap_or_else(PoisonError::into_inner);
        match answers.get(&address) {
            Some(Answer::Got(name, _)) => name.clone(),
            _ => None,
        }
    }
}

/// Until nobody can ask any more.
fn answer(asked: &Receiver<IpAddr>, known: &Known, look_up: impl Fn(IpAddr) -> Option<String>) {
    for address in asked {
        let name = look_up(address).filter(|name| is_host_name(name)).map(Arc::from);
        lock(&known.answers).insert(address, Answer::Got(name, Instant::now()));
        known.answered.notify_all();
    }
}

/// Whoever has the address says what is its name: anything may come. An address is what the
/// resolver says where there is no name.
fn is_host_name(name: &str) -> bool {
    let is_of_names = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    (1..=LONGEST).contains(&name.len())
        && name.bytes().all(is_of_names)
        && name.parse::<IpAddr>().is_err()
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn address(last: u8) -> IpAddr {
        Ipv4Addr::new(10, 0, 0, last).into()
    }

    #[test]
    fn a_name_is_asked_for_once_and_none_is_an_answer_too() {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let names = HostNames::asking(move |of| {
            count.fetch_add(1, Ordering::Relaxed);
            (of == address(1)).then(|| "db-1.example.org".to_owned())
        });
        let names = names.unwrap();
        while names.name(address(1)).as_deref() != Some("db-1.example.org") {}
        assert_eq!(names.name(address(2)), None);
        names.name(address(1));
        names.name(address(2));
        assert_eq!(asked.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn a_resolver_that_hangs_holds_up_nobody_for_long_and_is_not_asked_more() {
        let (end, wait) = sync_channel::<()>(0);
        let wait = Mutex::new(wait);
        let names = HostNames::asking(move |_| lock(&wait).recv().ok().map(|()| "x".to_owned()));
        let names = names.unwrap();
        let begin = Instant::now();
        assert!((0..=u8::MAX).all(|last| names.name(address(last)).is_none()));
        assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
        assert!(lock(&names.known.answers).len() <= MOST_ASKED + 1);
        drop(end);
    }

    #[test]
    fn only_as_many_answers_as_allowed_are_kept() {
        let names = HostNames::asking(|_| None).unwrap();
        for number in 0..3000_u32 {
            names.name(Ipv4Addr::from(number).into());
        }
        assert!(lock(&names.known.answers).len() <= MOST_KEPT);
    }

    #[test]
    fn the_machine_knows_itself() {
        let names = HostNames::of_machine().unwrap();
        let localhost = Ipv4Addr::LOCALHOST.into();
        let known = (0..500).find_map(|_| names.name(localhost));
        assert!(known.is_some_and(|name| name.contains("localhost")));
    }

    #[test]
    fn what_is_no_name_is_not_taken_for_one() {
        for text in
            ["", "10.0.0.1", "fe80::1", "a b", "a\nb", "<script>", "ä.org", &"x".repeat(300)]
        {
            assert!(!is_host_name(text), "{text}");
        }
        assert!(is_host_name("node-1.example.org"));
    }
}
