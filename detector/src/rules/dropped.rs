//! What the rules that read events share: that more happened than events tell.

use jiff::SignedDuration;

use crate::facts::Event;
use crate::view::View;

/// How many events a component sends of one object before it drops them: from then on one every
/// five minutes, whatever it tells.
///
/// Source: `maxSpamBurst` and `defaultSpamQPS` in
/// `staging/src/k8s.io/client-go/tools/record/events_cache.go`.
const SENT: u32 = 25;

/// For how long what such events tell is taken for the present state: several kinds of them take
/// turns.
const LASTING: SignedDuration = SignedDuration::from_mins(30);

/// Whether the component that sent an event drops others of the same object.
pub(super) fn others_are(event: &Event, view: &View<'_>) -> bool {
    let sent = view
        .events_about(&event.about.reference(), &event.about.uid)
        .filter(|other| other.component == event.component)
        .fold(0, |sum: u32, other| sum.saturating_add(other.count));
    sent >= SENT
}

/// Whether an event of what is tried again and again tells of the present: it is no older than
/// this, or it may have happened since without an event.
pub(super) fn is_present(event: &Event, view: &View<'_>, recent: SignedDuration) -> bool {
    event.last.is_some_and(|last| {
        view.within(last, recent) || others_are(event, view) && view.within(last, LASTING)
    })
}
