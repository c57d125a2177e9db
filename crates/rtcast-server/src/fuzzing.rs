//! What the fuzz targets reach of the inside. No part of the interface.

use crate::sdpfrag::SdpFragment;

/// Reads a fragment; what was read makes an offer, and what that offer says of ICE can be read again.
pub fn sdp_fragment(data: &[u8]) {
    const OFFER: &str = "v=0\r\nm=video 9 X 96\r\na=mid:0\r\na=ice-ufrag:old\r\na=ice-pwd:older\r\n\
                         a=candidate:1 1 udp 1 192.0.2.1 1 typ host\r\n";
    let Ok(text) = std::str::from_utf8(data) else { return };
    let fragment = match SdpFragment::parse(text) {
        Ok(fragment) => fragment,
        Err(reason) => return drop(reason),
    };
    let kept: usize = fragment.candidates.iter().map(|candidate| candidate.mid.as_ref().map_or(0, String::len)).sum();
    assert!(fragment.candidates.len() <= 128 && kept <= 128 * 256, "little is kept of it");
    let (ufrag, pwd) = (fragment.ufrag.clone().unwrap_or_default(), fragment.pwd.clone().unwrap_or_default());
    let offer = fragment.offer(OFFER, &ufrag, &pwd);
    assert!(offer.len() <= OFFER.len() + 2 * text.len() + 64, "it grows by what is told alone");
    let again = SdpFragment::parse(&SdpFragment::of(&offer)).expect("what was written can be read");
    assert_eq!((again.ufrag, again.pwd), (Some(ufrag), Some(pwd)));
    assert_eq!(again.candidates.len(), fragment.candidates.len());
    assert_eq!(again.end_of_candidates, fragment.end_of_candidates);
}
