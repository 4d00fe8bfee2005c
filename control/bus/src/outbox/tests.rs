use super::*;
use spk_entitlement::messages::{Body, Message};
use uuid::Uuid;

fn message(id: u128) -> Envelope {
    Message {
        id: Uuid::from_u128(id),
        reply_to: None,
        namespace: String::from("demo"),
        body: Body::Goodbye,
    }
    .seal(0)
}

type Learned = oneshot::Receiver<Result<(), PublishError>>;

fn push(outbox: &mut Outbox, id: u128, now: Instant) -> Learned {
    let (answer, learned) = oneshot::channel();
    outbox.push(message(id), answer, now);
    learned
}

fn sent(outbox: &mut Outbox, now: Instant) -> Vec<u128> {
    std::iter::from_fn(|| outbox.poll_output(now))
        .map(|(_, out)| out.properties.message_id.parse::<Uuid>().unwrap().as_u128())
        .collect()
}

/// LIC-720: the part without a broker.
#[test]
fn what_was_not_confirmed_is_sent_again_in_order_under_the_same_id() {
    let now = Instant::now();
    let mut outbox = Outbox::default();
    let mut learned: Vec<_> = [1, 2, 3].map(|id| push(&mut outbox, id, now)).into();
    let (first, _) = outbox.poll_output(now).unwrap();
    assert_eq!(sent(&mut outbox, now), [2, 3]);
    outbox.answered(first, Ok(()));
    assert_eq!(learned.remove(0).try_recv(), Ok(Ok(())));
    outbox.lost();
    let mut later = push(&mut outbox, 4, now);
    assert_eq!(sent(&mut outbox, now), [2, 3, 4]);
    assert!(later.try_recv().is_err(), "no answer without a confirm");
    // A confirm of the old connection is none of the new one's.
    outbox.answered(first, Ok(()));
    assert!(learned.iter_mut().all(|learned| learned.try_recv().is_err()));
}

/// LIC-720: no confirm in 5 s.
#[test]
fn confirm_is_overdue_after_five_seconds() {
    let now = Instant::now();
    let mut outbox = Outbox::default();
    let _learned = push(&mut outbox, 1, now);
    assert!(!outbox.is_overdue(now + Duration::from_secs(10)), "it was not sent");
    let (number, _) = outbox.poll_output(now).unwrap();
    assert_eq!(outbox.poll_timeout(), Some(now + Duration::from_secs(5)));
    assert!(!outbox.is_overdue(now + Duration::from_millis(4_999)));
    assert!(outbox.is_overdue(now + Duration::from_secs(5)));
    outbox.answered(number, Ok(()));
    assert!(!outbox.is_overdue(now + Duration::from_secs(5)));
    assert_eq!(outbox.poll_timeout(), None);
}

#[test]
fn message_without_a_bus_expires_after_a_minute() {
    let now = Instant::now();
    let mut outbox = Outbox::default();
    let mut learned = push(&mut outbox, 1, now);
    outbox.handle_timeout(now + Duration::from_millis(59_999));
    assert!(learned.try_recv().is_err());
    outbox.handle_timeout(now + Duration::from_secs(60));
    assert_eq!(learned.try_recv(), Ok(Err(PublishError::Expired)));
    assert_eq!(sent(&mut outbox, now), Vec::<u128>::new());
}

#[test]
fn message_beyond_the_capacity_is_refused_at_once() {
    let now = Instant::now();
    let mut outbox = Outbox::default();
    let mut learned: Vec<_> =
        (0..CAPACITY).map(|number| push(&mut outbox, number as u128, now)).collect();
    assert_eq!(push(&mut outbox, 5000, now).try_recv(), Ok(Err(PublishError::Full)));
    assert_eq!(sent(&mut outbox, now).len(), WINDOW, "the rest waits for confirms");
    outbox.answered(0, Err(PublishError::Rejected));
    assert_eq!(learned[0].try_recv(), Ok(Err(PublishError::Rejected)));
    assert_eq!(sent(&mut outbox, now), [WINDOW as u128]);
    outbox.close();
    assert_eq!(learned[CAPACITY - 1].try_recv(), Ok(Err(PublishError::Closed)));
    assert_eq!(learned[1].try_recv(), Ok(Err(PublishError::Closed)));
}
