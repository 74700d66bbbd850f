//! The parameters of both commands, and what becomes of each.

use admin::view::Direction;

/// One parameter.
#[derive(Debug)]
pub(super) struct Parameter {
    /// Its name, without `-`.
    pub(super) name: &'static str,
    /// What becomes of it.
    pub(super) effect: Effect,
}

/// What becomes of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// It is this field of ours.
    Field(&'static str, Kind),
    /// It is a field together with others, or in another form: see where it is read.
    Own,
    /// It may only say what is the case anyway; why.
    Nothing(&'static str),
    /// It describes and does nothing.
    Described,
}

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Flag,
    Texts,
    /// As `smtp:example.com;1`, or without what surrounds it.
    Domains,
}

use Effect::{Described, Field, Nothing, Own};

const fn of(name: &'static str, effect: Effect) -> Parameter {
    Parameter { name, effect }
}

const NO_FILTERING: &str = "there is no enhanced filtering here: what is judged is the host that connects, or the one that a trusted proxy names";

const COMMON: [Parameter; 26] = [
    of("Name", Own),
    of("Comment", Field("comment", Kind::Text)),
    of("Enabled", Field("enabled", Kind::Flag)),
    of("ConnectorType", Own),
    of("CloudServicesMailEnabled", Field("cloud_services_mail_enabled", Kind::Flag)),
    of("ConnectorSource", Described),
    of("AdminDisplayName", Described),
    of("ExchangeVersion", Described),
    of("DistinguishedName", Described),
    of("Identity", Described),
    of("Id", Described),
    of("Guid", Described),
    of("ExchangeObjectId", Described),
    of("ObjectCategory", Described),
    of("ObjectClass", Described),
    of("WhenChanged", Described),
    of("WhenCreated", Described),
    of("WhenChangedUTC", Described),
    of("WhenCreatedUTC", Described),
    of("OrganizationId", Described),
    of("OrganizationalUnitRoot", Described),
    of("OriginatingServer", Described),
    of("IsValid", Described),
    of("ObjectState", Described),
    of("RunspaceId", Described),
    of("Confirm", Described),
];

const INBOUND: [Parameter; 15] = [
    of("SenderDomains", Field("sender_domains", Kind::Domains)),
    of("SenderIPAddresses", Field("sender_ip_addresses", Kind::Texts)),
    of("RequireTls", Field("require_tls", Kind::Flag)),
    of("TlsSenderCertificateName", Own),
    of("RestrictDomainsToIPAddresses", Field("restrict_domains_to_ip_addresses", Kind::Flag)),
    of("RestrictDomainsToCertificate", Field("restrict_domains_to_certificate", Kind::Flag)),
    of(
        "AssociatedAcceptedDomains",
        Nothing("a connector takes mail for all domains; a rule may say otherwise by recipient"),
    ),
    of("EFSkipIPs", Nothing(NO_FILTERING)),
    of("EFSkipLastIP", Nothing(NO_FILTERING)),
    of("EFSkipMailGateway", Nothing(NO_FILTERING)),
    of("EFTestMode", Nothing(NO_FILTERING)),
    of("EFUsers", Nothing(NO_FILTERING)),
    of("ScanAndDropRecipients", Nothing("a recipient that is to be dropped is a matter of a rule")),
    of("TreatMessagesAsInternal", Nothing("no mail counts as internal here")),
    of("TrustedOrganizations", Nothing("there are no organizations here")),
];

const OUTBOUND: [Parameter; 17] = [
    of("RecipientDomains", Field("recipient_domains", Kind::Domains)),
    of("SmartHosts", Own),
    of("UseMXRecord", Own),
    of("TlsSettings", Own),
    of("TlsDomain", Own),
    of("IsTransportRuleScoped", Field("is_transport_rule_scoped", Kind::Flag)),
    of("TestMode", Field("test_mode", Kind::Flag)),
    of(
        "RouteAllMessagesViaOnPremises",
        Nothing("a connector whose `recipient_domains` are `*` takes all messages"),
    ),
    of("AllAcceptedDomains", Nothing("name the domains in `recipient_domains`")),
    of(
        "SenderRewritingEnabled",
        Nothing("a sender is rewritten by `default_from` and `alias_domain`"),
    ),
    of("MtaStsMode", Nothing("name what is asked of TLS in `tls`")),
    of("SmtpDaneMode", Nothing("name what is asked of TLS in `tls`")),
    of("LinkForModifiedConnector", Described),
    of("IsValidated", Described),
    of("LastValidationTimestamp", Described),
    of("ValidationRecipients", Described),
    of("IsDefault", Described),
];

/// All parameters of one command.
pub(super) fn all(direction: Direction) -> impl Iterator<Item = &'static Parameter> {
    let own: &'static [Parameter] = match direction {
        Direction::Inbound => &INBOUND,
        Direction::Outbound => &OUTBOUND,
    };
    COMMON.iter().chain(own)
}

/// The command that makes a connector.
pub(super) const fn command(direction: Direction) -> &'static str {
    match direction {
        Direction::Inbound => "New-InboundConnector",
        Direction::Outbound => "New-OutboundConnector",
    }
}
