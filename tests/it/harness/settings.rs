//! The settings file of a relay under test.

use std::net::SocketAddr;
use std::path::Path;

use toml::{Table, Value};

/// Settings that a test can change by path, such as `listener.0.tls`.
#[derive(Clone, Debug)]
pub(crate) struct Settings(Table);

impl Settings {
    /// Loopback, free ports, short waits; all mail goes to `next_hop`.
    pub(crate) fn towards(next_hop: SocketAddr) -> Self {
        let (host, port) = (next_hop.ip(), next_hop.port());
        let text = format!(
            r#"
hostname = "relay.test"
[log]
format = "json"
level = "info"
[spool]
[admin]
listen = "127.0.0.1:0"
[[listener]]
name = "smtp"
address = "127.0.0.1:0"
tls = "none"
[[inbound]]
name = "tests"
sender_ip_addresses = ["127.0.0.0/8"]
[[outbound]]
name = "next-hop"
recipient_domains = ["*"]
tls = "none"
smart_hosts = [{{ host = "{host}", port = {port} }}]
[queue.retry_connect]
first = "100ms"
factor = 1.5
max = "500ms"
[queue.retry_reply]
first = "100ms"
factor = 1.5
max = "500ms"
"#
        );
        Self(text.parse().expect("settings of the tests"))
    }

    /// Replaces or adds one value; missing tables on the way are made.
    pub(crate) fn set(self, path: &str, value: impl Into<Value>) -> Self {
        let mut root = Value::Table(self.0);
        let mut place = &mut root;
        for word in path.split('.') {
            place = match word.parse::<usize>() {
                Ok(index) => &mut place.as_array_mut().expect("a list")[index],
                Err(_) => place
                    .as_table_mut()
                    .expect("a table")
                    .entry(word)
                    .or_insert_with(|| Value::Table(Table::new())),
            };
        }
        *place = value.into();
        let Value::Table(table) = root else { panic!("the settings are no table any more") };
        Self(table)
    }

    /// Adds a value to the list at `path`.
    pub(crate) fn set_more(self, path: &str, value: impl Into<Value>) -> Self {
        let root = Value::Table(self.0.clone());
        let found = path.split('.').try_fold(&root, |node, word| node.get(word));
        let mut list = found.and_then(|list| list.as_array().cloned()).unwrap_or_default();
        list.push(value.into());
        self.set(path, list)
    }

    /// Adds one more element to a list of tables, given as TOML.
    pub(crate) fn push(mut self, list: &str, element: &str) -> Self {
        let element: Table = element.parse().expect("a table in TOML");
        let list = self.0.entry(list).or_insert_with(|| Value::Array(Vec::new()));
        list.as_array_mut().expect("a list").push(Value::Table(element));
        self
    }

    /// The file, with the paths below `folder` unless a test chose its own.
    pub(crate) fn text(&self, folder: &Path) -> String {
        let mut table = self.0.clone();
        let mut fill = |section: &str, key: &str, name: &str| {
            let section = table.entry(section).or_insert_with(|| Value::Table(Table::new()));
            let path = folder.join(name).display().to_string();
            section.as_table_mut().expect("a table").entry(key).or_insert(Value::String(path));
        };
        fill("spool", "path", "spool");
        fill("admin", "socket", "admin.sock");
        toml::to_string(&table).expect("settings in TOML")
    }
}
