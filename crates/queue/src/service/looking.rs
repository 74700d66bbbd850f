//! Questions about the whole queue, looked into slice by slice.

use super::Queue;
use super::lines::{filled, line, waits_by_hand};
use super::search::{Entries, Places, Search, Wish};
use crate::entries::Now;
use crate::request::{Cancelled, DestinationLine, Retried, Selection};
use mail::{Destination, MessageId};
use schedule::{Cancel, EntryView, PlaceView};
use std::sync::Arc;

impl Queue {
    /// Begins a search for entries.
    pub(super) fn begin_search(&mut self, selection: Selection, wish: Wish) {
        let named = selection.destination.as_deref();
        let destination = named.map(|name| self.schedule.destination(name));
        let nowhere = matches!(destination, Some(None));
        let seen = match &wish {
            Wish::List { look: Some(look), .. } => look.after,
            _ => None,
        };
        let mut search = Box::new(Entries {
            wish,
            selection,
            destination: destination.flatten(),
            seen,
            last: self.schedule.newest(),
            named_seen: 0,
        });
        if nowhere {
            return self.found_all(search);
        }
        let Selection { ids, connector, state, .. } = &search.selection;
        if let Wish::List { found, .. } = &mut search.wish
            && ids.is_empty()
            && connector.is_none()
            && state.is_none()
        {
            *found = Some(match &search.destination {
                None => self.schedule.len(),
                Some(destination) => self.schedule.entries_at(destination),
            });
        }
        self.searches.push_back(Search::Entries(search));
    }

    /// Does a slice of the search that has waited longest.
    pub(super) fn search(&mut self, now: Now) {
        match self.searches.pop_front() {
            Some(Search::Entries(mut search)) => {
                if self.look(&mut search, now) {
                    self.found_all(search);
                } else {
                    self.searches.push_back(Search::Entries(search));
                }
            }
            Some(Search::Places(mut search)) => {
                let mut places =
                    self.schedule.places_from(search.next).take(super::search::SLICE).peekable();
                let is_over = places.peek().is_none();
                for (number, place) in places {
                    search.take(&place);
                    search.next = number.saturating_add(1);
                }
                if is_over {
                    self.found_places(search, now);
                } else {
                    self.searches.push_back(Search::Places(search));
                }
            }
            None => {}
        }
    }

    /// Looks at a slice; true if it was the last one.
    fn look(&mut self, search: &mut Entries, now: Now) -> bool {
        let mut found = Vec::new();
        let is_over = self.slice(search, &mut found, now);
        match &mut search.wish {
            Wish::List { listing, limit, found, .. } => {
                is_over || (found.is_some() && listing.lines.len() >= *limit)
            }
            Wish::Retry { retried: Retried { retried, .. }, .. } => {
                for (id, destination) in &found {
                    let is_retried = self.schedule.retry(*id, destination);
                    *retried = retried.saturating_add(usize::from(is_retried));
                }
                is_over
            }
            Wish::Cancel { cancelled: Cancelled { cancelled, after_this_try }, .. } => {
                for (id, destination) in &found {
                    let count = match self.schedule.cancel(*id, destination) {
                        Some(Cancel::Leaves) => &mut *cancelled,
                        Some(Cancel::AfterThisTry) => &mut *after_this_try,
                        None => continue,
                    };
                    *count = count.saturating_add(1);
                }
                is_over
            }
        }
    }

    /// Lists the entries of a slice that fit, or adds them to `found`; true if it was the last one.
    fn slice(
        &self,
        search: &mut Entries,
        found: &mut Vec<(MessageId, Destination)>,
        now: Now,
    ) -> bool {
        let take = |search: &mut Entries, view: &EntryView<'_>, found: &mut Vec<_>| {
            if !search.fits(view) {
                return;
            }
            if let Wish::List { listing, limit, look, .. } = &mut search.wish {
                // A further look begins behind the last message, so all of it belongs to this one.
                let is_rest = || {
                    look.is_some() && listing.lines.last().is_some_and(|line| line.id == view.id)
                };
                if listing.lines.len() < *limit || is_rest() {
                    listing.lines.push(line(view, now));
                }
                listing.found = listing.found.saturating_add(1);
            } else if let Wish::Retry { retried, .. } = &mut search.wish
                && search.selection.ids.is_empty()
                && waits_by_hand(view, now)
            {
                // Whoever has all tried again after an outage does not mean these.
                retried.held = retried.held.saturating_add(1);
            } else {
                found.push((view.id, view.destination.clone()));
            }
        };
        if !search.selection.ids.is_empty() {
            let named =
                search.selection.ids.iter().skip(search.named_seen).take(super::search::SLICE);
            let named: Vec<_> = named.copied().collect();
            search.named_seen = search.named_seen.saturating_add(named.len());
            for view in named.iter().flat_map(|id| self.schedule.entries_of(*id)) {
                take(search, &view, found);
            }
            return search.named_seen >= search.selection.ids.len();
        }
        let mut count = 0_usize;
        for view in self.schedule.entries_behind(search.seen) {
            if Some(view.id) > search.last {
                return true;
            }
            // All entries of a message belong to one slice.
            if count >= super::search::SLICE && Some(view.id) != search.seen {
                return false;
            }
            count = count.saturating_add(1);
            search.seen = Some(view.id);
            take(search, &view, found);
        }
        true
    }

    /// Answers a search for entries.
    fn found_all(&mut self, search: Box<Entries>) {
        let selection = &search.selection;
        match search.wish {
            Wish::List { mut listing, limit, look, found, reply } => {
                listing.found = found.unwrap_or(listing.found);
                listing.looked_at = listing.lines.len();
                if listing.looked_at >= limit {
                    listing.next = listing.lines.last().map(|line| line.id);
                }
                let parties = look.map(|look| look.parties);
                let shared = Arc::clone(&self.shared);
                self.answers.push(Box::pin(async move {
                    // Nobody waits any more if the send fails.
                    drop(reply.send(filled(&shared, listing, parties.as_ref()).await));
                }));
            }
            Wish::Retry { retried, reply } => {
                tracing::info!(
                    entries = retried.retried,
                    held = retried.held,
                    ids_count = selection.ids.len(),
                    ids = selection.ids_words(),
                    destination = selection.destination.as_deref(),
                    connector = selection.connector.as_deref(),
                    state = selection.state.map(tracing::field::display),
                    "retry by an operator"
                );
                let _is_waited_for = reply.send(retried).is_ok();
            }
            Wish::Cancel { cancelled, reply } => {
                tracing::info!(
                    cancelled = cancelled.cancelled,
                    after_this_try = cancelled.after_this_try,
                    ids_count = selection.ids.len(),
                    ids = selection.ids_words(),
                    destination = selection.destination.as_deref(),
                    connector = selection.connector.as_deref(),
                    state = selection.state.map(tracing::field::display),
                    "cancel by an operator"
                );
                // Answered once it is written down.
                self.cancels.push((cancelled, reply));
            }
        }
    }

    /// Answers what was cancelled, once the spool has removed all of it: it must not come back after a crash.
    pub(super) fn answer_cancels(&mut self) {
        self.cancels.retain(|(_, reply)| !reply.is_closed());
        if self.schedule.cancelled_len() == 0 {
            for (cancelled, reply) in self.cancels.drain(..) {
                let _is_waited_for = reply.send(cancelled).is_ok();
            }
        }
    }

    /// Answers a search for destinations.
    fn found_places(&self, mut search: Places, now: Now) {
        search.sort();
        let mut summary = self.summary();
        let places = search.largest.iter().filter_map(|(_, it)| self.schedule.place(it));
        let line = |place: PlaceView<'_>| DestinationLine {
            destination: place.destination.clone(),
            ready: place.ready,
            resting: place.resting,
            in_flight: place.in_flight,
            rests_until: place.rests_until.map(|at| now.wall_of(at)),
            connect_failures: place.connect_failures,
            last_failure: place.last_failure.map(|reply| reply.to_string().into()),
        };
        summary.destinations = places.map(line).collect();
        drop(search.reply.send(summary));
    }
}
