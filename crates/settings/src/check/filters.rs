//! Filters: each is asked about something.

use filters::config::Stage;

use super::{Check, item};
use crate::settings::Settings;
use crate::tree::Step;

impl Check<'_> {
    pub(super) fn filters(&mut self, settings: &Settings) {
        self.names("filter", settings.filter.iter().map(|filter| filter.name.as_str()));
        let listeners: Vec<_> = settings.listener.iter().map(|it| it.name.as_str()).collect();
        let connectors: Vec<_> = settings.outbound.iter().map(|it| it.name.as_str()).collect();
        for (number, filter) in settings.filter.iter().enumerate() {
            let stages = filter.stages();
            let leaves = stages.contains(&Stage::Delivery);
            let comes = stages.iter().any(|stage| *stage != Stage::Delivery);
            let mut is_known = true;
            for (place, name) in filter.applies_to.iter().enumerate() {
                let name = name.as_str();
                let leads = leaves && connectors.contains(&name);
                if !leads && !listeners.contains(&name) {
                    is_known = false;
                    let [section, number, key] = item("filter", number, "applies_to");
                    let or = if leaves { " or an outbound connector" } else { "" };
                    self.add(
                        &[section, number, key, Step::Item(place)],
                        format!("`{name}` is not the name of a listener{or}"),
                        "write names of such, or leave it out for all",
                    );
                }
            }
            let names = |known: &[&str]| {
                let mut names = filter.applies_to.iter();
                filter.applies_to.is_empty() || names.any(|name| known.contains(&name.as_str()))
            };
            let lacks = [
                (leaves && !names(&connectors), "outbound connector", "before delivery"),
                (comes && !names(&listeners), "listener", "when mail comes in"),
            ];
            for (_, what, when) in lacks.into_iter().filter(|(lacks, ..)| *lacks && is_known) {
                self.add(
                    &item("filter", number, "applies_to"),
                    format!("names no {what}, so the filter is never asked {when}"),
                    "name one, or leave it out of `stages`",
                );
            }
        }
    }
}
