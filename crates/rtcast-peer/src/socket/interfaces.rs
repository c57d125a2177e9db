//! The addresses of this machine's network interfaces, and which of them others can reach.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::Path;

use if_addrs::IfOperStatus;

/// How far a bridge's port is followed down to a device: a VLAN on a bond on a card.
const DEPTH: usize = 4;

/// `RTF_GATEWAY` of Linux's `linux/route.h`: the route leads through another machine.
const GATEWAY: u32 = 2;

/// The addresses of the interfaces with these names; of no names, those of all that others can reach.
///
/// Left out are interfaces that are down, and bridges that lead nowhere but to containers and virtual machines on this
/// machine: they have no port that ends in a device, and no route through another machine goes by them. Whoever sits
/// behind such a bridge reaches the other addresses of this machine as well.
///
/// # Errors
/// [`io::ErrorKind::NotFound`] if there is no interface of such a name; what the system says otherwise.
pub(crate) fn interface_addresses(names: &[String]) -> io::Result<Vec<IpAddr>> {
    let interfaces = if_addrs::get_if_addrs()?;
    if let Some(unknown) = names.iter().find(|name| !interfaces.iter().any(|interface| interface.name == **name)) {
        let known: BTreeSet<&str> = interfaces.iter().map(|interface| interface.name.as_str()).collect();
        let known = Vec::from_iter(known).join(", ");
        let problem = format!("no network interface {unknown:?} has an address; those that have: {known}");
        return Err(io::Error::new(io::ErrorKind::NotFound, problem));
    }
    let root = Path::new("/");
    let routed = routed_interfaces(root);
    let usable = |interface: &&if_addrs::Interface| {
        if !names.is_empty() {
            return names.contains(&interface.name);
        }
        let down = matches!(
            interface.oper_status,
            IfOperStatus::Down | IfOperStatus::NotPresent | IfOperStatus::LowerLayerDown
        );
        !down && (routed.contains(&interface.name) || !leads_nowhere(root, &interface.name))
    };
    Ok(interfaces.iter().filter(usable).map(if_addrs::Interface::ip).collect())
}

/// Whether it is a bridge without a port that ends in a device.
fn leads_nowhere(root: &Path, name: &str) -> bool {
    let interface = root.join("sys/class/net").join(name);
    interface.join("bridge").exists()
        && !entries(&interface.join("brif")).iter().any(|port| ends_in_device(root, port, DEPTH))
}

fn ends_in_device(root: &Path, name: &str, depth: usize) -> bool {
    let interface = root.join("sys/class/net").join(name);
    let lower = || entries(&interface).into_iter().filter_map(|entry| entry.strip_prefix("lower_").map(str::to_owned));
    interface.join("device").exists() || (depth > 0 && lower().any(|lower| ends_in_device(root, &lower, depth - 1)))
}

fn entries(directory: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect()
}

/// The interfaces by which routes through other machines go.
fn routed_interfaces(root: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut add = |file: &str, interface: usize, flags: usize| {
        for line in fs::read_to_string(root.join(file)).unwrap_or_default().lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            let flags = words.get(flags).and_then(|flags| u32::from_str_radix(flags, 16).ok()).unwrap_or(0);
            if flags & GATEWAY != 0 {
                found.extend(words.get(interface).map(|&name| name.to_owned()));
            }
        }
    };
    // proc(5): the interface stands first for IPv4, and last for IPv6.
    add("proc/net/route", 0, 3);
    add("proc/net/ipv6_route", 9, 8);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine of our making, which is taken away when this is dropped.
    struct Machine(std::path::PathBuf);

    impl Machine {
        fn new(name: &str, paths: &[&str]) -> Self {
            let root = std::env::temp_dir().join(format!("rtcast-interfaces-{}-{name}", std::process::id()));
            for path in paths {
                fs::create_dir_all(root.join("sys/class/net").join(path)).unwrap();
            }
            fs::create_dir_all(root.join("proc/net")).unwrap();
            Self(root)
        }
    }

    impl Drop for Machine {
        fn drop(&mut self) {
            // What stays behind is for the system to tidy up.
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_bridge_without_a_way_out_leads_nowhere() {
        let machine = Machine::new(
            "bridges",
            &[
                "eth0/device",
                "docker0/bridge",
                "docker0/brif/veth1",
                "veth1",
                "empty/bridge",
                "br0/bridge",
                "br0/brif/eth0",
                "br1/bridge",
                "br1/brif/bond0.7",
                "bond0.7/lower_bond0",
                "bond0/lower_eth1",
                "eth1/device",
                "wg0",
            ],
        );
        let nowhere = |name: &&str| leads_nowhere(&machine.0, name);
        let names = ["eth0", "veth1", "docker0", "empty", "br0", "br1", "wg0", "lo"];
        assert_eq!(names.iter().copied().filter(nowhere).collect::<Vec<_>>(), ["docker0", "empty"]);
    }

    #[test]
    fn routes_through_other_machines_name_their_interfaces() {
        let machine = Machine::new("routes", &[]);
        let v4 = "Iface\tDestination\tGateway\tFlags\tRefCnt\nbr2\t00000000\t0101A8C0\t0003\t0\ndocker0\t000011AC\t0\t0001\t0\n";
        fs::write(machine.0.join("proc/net/route"), v4).unwrap();
        let zero = "0".repeat(32);
        let v6 = format!("{zero} 00 {zero} 00 fe80{} 00000400 1 0 00000003 wlan0\n", &zero[4..]);
        fs::write(machine.0.join("proc/net/ipv6_route"), v6).unwrap();
        assert_eq!(Vec::from_iter(routed_interfaces(&machine.0)), ["br2", "wlan0"]);
    }

    #[test]
    fn a_name_that_is_not_there_is_an_error_with_those_that_are() {
        let error = interface_addresses(&["nowhere7".to_owned()]).unwrap_err().to_string();
        assert!(error.contains("nowhere7") && error.contains("lo"), "{error}");
        assert!(interface_addresses(&["lo".to_owned()]).unwrap().iter().all(IpAddr::is_loopback));
    }
}
