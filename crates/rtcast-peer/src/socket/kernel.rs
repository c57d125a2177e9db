//! What the kernel can do and no safe wrapper offers: many segmented sends in one call, and waiting for one socket.
#![expect(unsafe_code, reason = "sendmmsg with segmentation and poll on one socket have no safe wrapper")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

/// Waits until the socket takes more to send. Returns whether it does.
pub(super) fn wait_writable(socket: BorrowedFd<'_>, limit: Duration) -> bool {
    let mut entry = libc::pollfd { fd: socket.as_raw_fd(), events: libc::POLLOUT, revents: 0 };
    let milliseconds = libc::c_int::try_from(limit.as_millis()).unwrap_or(libc::c_int::MAX);
    // SAFETY: the pointer is to one entry that lives through the call, and the descriptor is borrowed.
    let ready = unsafe { libc::poll(&raw mut entry, 1, milliseconds) };
    ready > 0 && entry.revents & libc::POLLOUT != 0
}

/// Lets the kernel join received datagrams of one sender, or not.
///
/// # Errors
/// What the system says, where it has no such offload.
#[cfg(target_os = "linux")]
pub(super) fn set_receive_offload(socket: BorrowedFd<'_>, on: bool) -> io::Result<()> {
    set_option(socket, libc::SOL_UDP, libc::UDP_GRO, on)
}

/// Has the kernel note when each datagram came, or not.
///
/// # Errors
/// What the system says.
#[cfg(target_os = "linux")]
pub(super) fn set_receive_timestamps(socket: BorrowedFd<'_>, on: bool) -> io::Result<()> {
    set_option(socket, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, on)
}

#[cfg(target_os = "linux")]
fn set_option(socket: BorrowedFd<'_>, level: libc::c_int, name: libc::c_int, on: bool) -> io::Result<()> {
    let value = libc::c_int::from(on);
    let length = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the pointer is to a value of that length that lives through the call.
    let result = unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const value).cast(), length) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// One datagram, or several that the kernel cuts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Message<'a> {
    pub(super) destination: std::net::SocketAddr,
    /// The address to send from, where the socket has several.
    pub(super) source: Option<std::net::IpAddr>,
    pub(super) contents: &'a [u8],
    /// The length of each datagram but the last; `None` for a single one.
    pub(super) segment_size: Option<u16>,
}

/// Messages that one call takes at most.
#[cfg(target_os = "linux")]
pub(super) const MESSAGES: usize = 32;

/// Sends messages in order, in one system call. Returns how many the kernel took, at least one.
///
/// # Errors
/// What the kernel says of the first message.
#[cfg(target_os = "linux")]
pub(super) fn send_messages<'a>(
    socket: BorrowedFd<'_>,
    messages: impl Iterator<Item = Message<'a>>,
) -> io::Result<usize> {
    use std::mem::MaybeUninit;
    use std::net::{IpAddr, SocketAddr};
    use std::ptr;

    /// Room for a segment size and the larger of the two packet informations, aligned as control messages are.
    #[derive(Clone, Copy)]
    #[repr(C, align(8))]
    struct Control([u8; 64]);
    /// An address of either family.
    #[derive(Clone, Copy)]
    union Address {
        v4: libc::sockaddr_in,
        v6: libc::sockaddr_in6,
    }

    const fn space(length: usize) -> usize {
        // SAFETY: arithmetic only.
        unsafe { libc::CMSG_SPACE(length as libc::c_uint) as usize }
    }
    const _: () = assert!(space(size_of::<u16>()) + space(size_of::<libc::in6_pktinfo>()) <= size_of::<Control>());

    let mut addresses = [MaybeUninit::<Address>::uninit(); MESSAGES];
    let mut pieces = [MaybeUninit::<libc::iovec>::uninit(); MESSAGES];
    let mut controls = [MaybeUninit::<Control>::uninit(); MESSAGES];
    let mut headers = [MaybeUninit::<libc::mmsghdr>::uninit(); MESSAGES];
    let mut count = 0;
    let places = addresses.iter_mut().zip(&mut pieces).zip(&mut controls).zip(&mut headers);
    for ((((address, piece_space), control), header), message) in places.zip(messages) {
        let (to, length) = match message.destination {
            SocketAddr::V4(to) => {
                let v4 = libc::sockaddr_in {
                    sin_family: libc::AF_INET as libc::sa_family_t,
                    sin_port: to.port().to_be(),
                    sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(to.ip().octets()) },
                    sin_zero: [0; 8],
                };
                (Address { v4 }, size_of::<libc::sockaddr_in>())
            }
            SocketAddr::V6(to) => {
                let v6 = libc::sockaddr_in6 {
                    sin6_family: libc::AF_INET6 as libc::sa_family_t,
                    sin6_port: to.port().to_be(),
                    sin6_flowinfo: to.flowinfo(),
                    sin6_addr: libc::in6_addr { s6_addr: to.ip().octets() },
                    sin6_scope_id: to.scope_id(),
                };
                (Address { v6 }, size_of::<libc::sockaddr_in6>())
            }
        };
        let contents = message.contents;
        let piece = libc::iovec { iov_base: contents.as_ptr().cast_mut().cast(), iov_len: contents.len() };
        let control = &mut control.write(Control([0; 64])).0;
        // SAFETY: all zeros is a valid header: null pointers with lengths of zero.
        let mut text: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
        text.msg_name = ptr::from_mut(address.write(to)).cast();
        text.msg_namelen = length as libc::socklen_t;
        text.msg_iov = ptr::from_mut(piece_space.write(piece));
        text.msg_iovlen = 1;
        let mut used = 0;
        let mut append = |level, kind, value: &[u8]| {
            let start = used;
            used += space(value.len());
            // SAFETY: arithmetic only.
            let length = unsafe { libc::CMSG_LEN(value.len() as libc::c_uint) } as usize;
            let head = libc::cmsghdr { cmsg_len: length as _, cmsg_level: level, cmsg_type: kind };
            let data = start + length - value.len();
            // SAFETY: the head is plain data and lies within the buffer, which was measured for all that is appended, at
            // an offset that is a multiple of its alignment.
            unsafe { ptr::from_mut(&mut control[start]).cast::<libc::cmsghdr>().write(head) };
            control[data..data + value.len()].copy_from_slice(value);
        };
        if let Some(size) = message.segment_size {
            append(libc::SOL_UDP, libc::UDP_SEGMENT, &size.to_ne_bytes());
        }
        match message.source {
            // struct in_pktinfo: interface, the address to send from, and one that only receiving sets.
            Some(IpAddr::V4(ip)) => {
                let mut information = [0; size_of::<libc::in_pktinfo>()];
                information[4..8].copy_from_slice(&ip.octets());
                append(libc::IPPROTO_IP, libc::IP_PKTINFO, &information);
            }
            // struct in6_pktinfo: the address to send from, and the interface.
            Some(IpAddr::V6(ip)) => {
                let mut information = [0; size_of::<libc::in6_pktinfo>()];
                information[..16].copy_from_slice(&ip.octets());
                append(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &information);
            }
            None => {}
        }
        if used > 0 {
            text.msg_control = control.as_mut_ptr().cast();
            text.msg_controllen = used as _;
        }
        header.write(libc::mmsghdr { msg_hdr: text, msg_len: 0 });
        count += 1;
    }
    if count == 0 {
        return Ok(0);
    }
    loop {
        // SAFETY: the first `count` headers are written, and all that they point to lives to the end of this function.
        let sent = unsafe { libc::sendmmsg(socket.as_raw_fd(), headers.as_mut_ptr().cast(), count as libc::c_uint, 0) };
        if let Ok(sent) = usize::try_from(sent) {
            return Ok(sent);
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}
