//! The real rspamd, without a network.
#![expect(clippy::unwrap_used, reason = "a test may stop here")]

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use crate::daemon::Daemon;

/// The test pattern but for its first letter: `X` has a message refused, `Y` adds a field, `Z` changes the subject.
pub const GTUBE: &str = "JS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X";

/// What it is told of a message that has `X-Tell` comes back in a field.
const RULE: &str = r"
rspamd_config:register_symbol({
  name = 'TOLD', type = 'postfilter', flags = 'nostat',
  callback = function(task)
    if not task:get_header('X-Tell') then return end
    local to = {}
    for _, it in ipairs(task:get_recipients('smtp')) do table.insert(to, it.addr) end
    local told = table.concat({tostring(task:get_from_ip()), task:get_helo() or '-', task:get_hostname() or '-',
      task:get_user() or '-', task:get_queue_id(), task:get_from('smtp')[1].addr, table.concat(to, ',')}, ' ')
    task:set_milter_reply({
      add_headers = {['X-Told'] = {value = told, order = 1}, ['X-Last'] = 'it'},
      remove_headers = {['X-Tell'] = 0},
    })
  end
})
";

/// Starts it for HTTP; only [`GTUBE`] counts, and of a message that has a field `X-Tell` a field `X-Told` says what is
/// known of it.
pub fn rspamd() -> Daemon {
    Daemon::start("rspamd", prepare)
}

fn prepare(folder: &Path, address: SocketAddr) -> Vec<String> {
    let path = folder.display();
    fs::write(folder.join("tld"), "com\nnet\nexample\n").unwrap();
    fs::write(folder.join("rule.lua"), RULE).unwrap();
    let settings = format!(
        "options {{ pidfile = \"{path}/pid\"; tempdir = \"{path}\"; control_socket = \"{path}/control mode=0600\";
           dns {{ nameserver = [\"127.0.0.1:9\"]; timeout = 0.1s; retransmits = 1; }}
           filters = \"\"; url_tld = \"{path}/tld\"; disable_hyperscan = true; enable_test_patterns = true; }}
         lua = \"{path}/rule.lua\";
         logging {{ type = \"console\"; level = \"notice\"; }}
         actions {{ reject = 15; add_header = 6; rewrite_subject = 8; subject = \"[spam] %s\"; }}
         worker \"normal\" {{ bind_socket = \"{address}\"; count = 1; }}\n"
    );
    let file = folder.join("rspamd.conf");
    fs::write(&file, settings).unwrap();
    ["rspamd", "-f", "-i", "-c", &file.display().to_string()].map(str::to_owned).to_vec()
}
