//! Protecting and unprotecting packets.

use std::fmt;

use aws_lc_rs::aead::Aad;

use super::cipher::{AEAD_TAG, Cipher, CounterMode, SHA1_TAG, aead_nonce, aead_seal, counter_mode, sha1_tag, verify};
use super::profile::SrtpProfile;
use super::replay::{ReplayWindow, ReplayWindows};
use crate::rtp::RtpPacket;
use crate::types::{SequenceNumber, Ssrc};

/// A peer may show us at most so many streams; the state of further ones is not kept and their packets are refused.
const MAX_STREAMS: usize = 256;

const RTCP_ENCRYPTED: u32 = 0x8000_0000;

/// Why a packet was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SrtpError {
    /// The keying material does not fit the profile.
    #[error("the SRTP keys cannot be used: the keying material does not fit the profile")]
    Keys,
    /// The packet is too short or no RTP.
    #[error("not an SRTP packet")]
    Malformed,
    /// The tag is wrong: damaged or forged, or another key.
    #[error("the SRTP packet failed authentication")]
    Authentication,
    /// This index was seen before or is older than the window.
    #[error("the SRTP packet was received before")]
    Replay,
    /// More streams than a peer may show.
    #[error("the peer sends more than {MAX_STREAMS} streams")]
    TooManyStreams,
    /// The output buffer is shorter than the protected packet.
    #[error("the buffer is too short for the protected packet")]
    BufferTooShort,
}

/// The SRTP and SRTCP keys and receive state of one DTLS association.
///
/// ```
/// use rtcast_proto::srtp::{SrtpProfile, SrtpSession};
///
/// let material = [7; 88]; // Exported from DTLS.
/// let mut client = SrtpSession::new(SrtpProfile::AeadAes128Gcm, &material, true)?;
/// let mut server = SrtpSession::new(SrtpProfile::AeadAes128Gcm, &material, false)?;
/// let report = [0x80, 201, 0, 1, 0, 0, 0, 1];
/// let mut protected = Vec::new();
/// client.protect_rtcp(&report, &mut protected)?;
/// let length = server.unprotect_rtcp(&mut protected)?;
/// assert_eq!(protected[..length], report);
/// # Ok::<(), rtcast_proto::srtp::SrtpError>(())
/// ```
pub struct SrtpSession {
    profile: SrtpProfile,
    outbound_rtp: Cipher,
    outbound_rtcp: Cipher,
    inbound_rtp: Cipher,
    inbound_rtcp: Cipher,
    rtcp_index: u32,
    rtp_windows: ReplayWindows,
    rtcp_windows: ReplayWindows,
}

impl fmt::Debug for SrtpSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SrtpSession").field("profile", &self.profile).finish_non_exhaustive()
    }
}

impl SrtpSession {
    /// Makes the keys of both directions from exported keying material (RFC 5764 §4.2); `client` says whether this side
    /// was the DTLS client.
    ///
    /// # Errors
    /// [`SrtpError::Keys`] if the material is shorter than the profile needs.
    pub fn new(profile: SrtpProfile, keying_material: &[u8], client: bool) -> Result<Self, SrtpError> {
        let material = keying_material.get(..profile.keying_material_length()).ok_or(SrtpError::Keys)?;
        let (keys, salts) = material.split_at(2 * profile.key_length());
        let (client_key, server_key) = keys.split_at(profile.key_length());
        let (client_salt, server_salt) = salts.split_at(profile.salt_length());
        let (out_key, out_salt, in_key, in_salt) = if client {
            (client_key, client_salt, server_key, server_salt)
        } else {
            (server_key, server_salt, client_key, client_salt)
        };
        Ok(Self {
            profile,
            outbound_rtp: Cipher::new(profile, out_key, out_salt, false)?,
            outbound_rtcp: Cipher::new(profile, out_key, out_salt, true)?,
            inbound_rtp: Cipher::new(profile, in_key, in_salt, false)?,
            inbound_rtcp: Cipher::new(profile, in_key, in_salt, true)?,
            rtcp_index: 0,
            rtp_windows: ReplayWindows::default(),
            rtcp_windows: ReplayWindows::default(),
        })
    }

    /// Reads what unprotecting an RTCP packet will; see [`Connection::warm`](crate::connection::Connection::warm).
    pub(crate) fn warm(&self) -> usize {
        let window = self.rtcp_windows.first().and_then(ReplayWindow::highest).unwrap_or(0);
        match &self.inbound_rtcp {
            Cipher::Aead { salt, .. } => usize::from(salt[0]).wrapping_add(window as usize),
            Cipher::CounterMode(keys) => usize::from(keys.salt[0]).wrapping_add(window as usize),
        }
    }

    /// The profile in use.
    pub const fn profile(&self) -> SrtpProfile {
        self.profile
    }

    /// Protects one RTP packet: `out` begins with its header of `header_length` bytes, already written, and has room for
    /// payload and tag behind it. `index` is the 48-bit packet index whose low 16 bits are the header's sequence number.
    /// Returns the length of the whole packet.
    ///
    /// # Errors
    /// [`SrtpError::BufferTooShort`] if `out` has no room.
    #[inline]
    pub fn protect_rtp(
        &self,
        ssrc: Ssrc,
        index: u64,
        header_length: usize,
        payload: &[u8],
        out: &mut [u8],
    ) -> Result<usize, SrtpError> {
        let length = header_length + payload.len() + self.profile.rtp_overhead();
        let out = out.get_mut(..length).ok_or(SrtpError::BufferTooShort)?;
        let (header, body) = out.split_at_mut(header_length);
        match &self.outbound_rtp {
            Cipher::Aead { key, salt } => aead_seal(key, aead_nonce(salt, ssrc.0, index), header, payload, body)?,
            Cipher::CounterMode(keys) => {
                let CounterMode { key, salt, authentication } = &**keys;
                let (text, tag) = body.split_at_mut(payload.len());
                text.copy_from_slice(payload);
                counter_mode(key, salt, ssrc.0, index, text)?;
                let rollover = ((index >> 16) as u32).to_be_bytes();
                let signed = header_length + payload.len();
                let mut context = aws_lc_rs::hmac::Context::with_key(authentication);
                context.update(header);
                context.update(text);
                context.update(&rollover);
                debug_assert_eq!(signed + SHA1_TAG, length);
                tag.copy_from_slice(&context.sign().as_ref()[..SHA1_TAG]);
            }
        }
        Ok(length)
    }

    /// Unprotects an RTP packet in place. Returns its index and the length of the plain packet at the start of `packet`.
    ///
    /// # Errors
    /// [`SrtpError`] if it is malformed, forged or a replay; the packet's bytes are then worthless.
    pub fn unprotect_rtp(&mut self, packet: &mut [u8]) -> Result<(u64, usize), SrtpError> {
        let header = RtpPacket::parse_header(packet).map_err(|_| SrtpError::Malformed)?;
        let (ssrc, sequence_number, header_length) = (header.ssrc, header.sequence_number, header.header_length);
        let known = self.rtp_windows.get(ssrc);
        if known.is_none() && self.rtp_windows.len() >= MAX_STREAMS {
            return Err(SrtpError::TooManyStreams);
        }
        let index = estimate_index(known, sequence_number);
        if known.is_some_and(|window| !window.is_fresh(index)) {
            return Err(SrtpError::Replay);
        }
        let (header, body) = packet.split_at_mut(header_length);
        let text_length = body.len().checked_sub(self.profile.rtp_overhead()).ok_or(SrtpError::Malformed)?;
        match &self.inbound_rtp {
            Cipher::Aead { key, salt } => {
                key.open_in_place(aead_nonce(salt, ssrc.0, index), Aad::from(&*header), body)
                    .map_err(|_| SrtpError::Authentication)?;
            }
            Cipher::CounterMode(keys) => {
                let CounterMode { key, salt, authentication } = &**keys;
                let rollover = ((index >> 16) as u32).to_be_bytes();
                let signed = header_length + text_length;
                let expected = sha1_tag(authentication, [&packet[..signed], &rollover]);
                verify(&packet[signed..], &expected)?;
                counter_mode(key, salt, ssrc.0, index, &mut packet[header_length..signed])?;
            }
        }
        self.rtp_windows.accept(ssrc, index);
        Ok((index, header_length + text_length))
    }

    /// Protects a compound RTCP packet, appending the result to `out`.
    ///
    /// # Errors
    /// [`SrtpError::Malformed`] if `packet` is shorter than an RTCP header.
    pub fn protect_rtcp(&mut self, packet: &[u8], out: &mut Vec<u8>) -> Result<(), SrtpError> {
        let (header, body) = packet.split_at_checked(8).ok_or(SrtpError::Malformed)?;
        let ssrc = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
        let index = self.rtcp_index;
        self.rtcp_index = (self.rtcp_index + 1) & !RTCP_ENCRYPTED;
        let trailer = (index | RTCP_ENCRYPTED).to_be_bytes();
        let start = out.len();
        match &self.outbound_rtcp {
            Cipher::Aead { key, salt } => {
                // RFC 7714 §9.2: the header and the index word are the associated data; the tag stands before the index.
                let mut aad = [0; 12];
                aad[..8].copy_from_slice(header);
                aad[8..].copy_from_slice(&trailer);
                out.extend_from_slice(header);
                out.resize(out.len() + body.len() + AEAD_TAG, 0);
                aead_seal(key, aead_nonce(salt, ssrc, u64::from(index)), &aad, body, &mut out[start + 8..])?;
                out.extend_from_slice(&trailer);
            }
            Cipher::CounterMode(keys) => {
                let CounterMode { key, salt, authentication } = &**keys;
                out.extend_from_slice(packet);
                counter_mode(key, salt, ssrc, u64::from(index), &mut out[start + 8..])?;
                out.extend_from_slice(&trailer);
                let tag = sha1_tag(authentication, [&out[start..], &[]]);
                out.extend_from_slice(&tag);
            }
        }
        Ok(())
    }

    /// Unprotects a compound RTCP packet in place. Returns the length of the plain packet at the start of `packet`.
    ///
    /// # Errors
    /// [`SrtpError`] if it is malformed, forged or a replay.
    pub fn unprotect_rtcp(&mut self, packet: &mut [u8]) -> Result<usize, SrtpError> {
        if packet.len() < 8 + self.profile.rtcp_overhead() {
            return Err(SrtpError::Malformed);
        }
        let ssrc = Ssrc(u32::from_be_bytes([packet[4], packet[5], packet[6], packet[7]]));
        let index_at = match self.inbound_rtcp {
            Cipher::Aead { .. } => packet.len() - 4,
            Cipher::CounterMode(_) => packet.len() - SHA1_TAG - 4,
        };
        let mut trailer = [0; 4];
        trailer.copy_from_slice(&packet[index_at..index_at + 4]);
        let word = u32::from_be_bytes(trailer);
        let index = u64::from(word & !RTCP_ENCRYPTED);
        let encrypted = word & RTCP_ENCRYPTED != 0;
        let known = self.rtcp_windows.get(ssrc);
        if known.is_none() && self.rtcp_windows.len() >= MAX_STREAMS {
            return Err(SrtpError::TooManyStreams);
        }
        if known.is_some_and(|window| !window.is_fresh(index)) {
            return Err(SrtpError::Replay);
        }
        let length = match &self.inbound_rtcp {
            Cipher::Aead { key, salt } => {
                // RFC 7714 §9.3: an unencrypted packet is all associated data; browsers never send one.
                if !encrypted {
                    return Err(SrtpError::Malformed);
                }
                let mut aad = [0; 12];
                aad[..8].copy_from_slice(&packet[..8]);
                aad[8..].copy_from_slice(&trailer);
                key.open_in_place(aead_nonce(salt, ssrc.0, index), Aad::from(aad), &mut packet[8..index_at])
                    .map_err(|_| SrtpError::Authentication)?;
                index_at - AEAD_TAG
            }
            Cipher::CounterMode(keys) => {
                let CounterMode { key, salt, authentication } = &**keys;
                let expected = sha1_tag(authentication, [&packet[..index_at + 4], &[]]);
                verify(&packet[index_at + 4..], &expected)?;
                if encrypted {
                    counter_mode(key, salt, ssrc.0, index, &mut packet[8..index_at])?;
                }
                index_at
            }
        };
        self.rtcp_windows.accept(ssrc, index);
        Ok(length)
    }
}

/// RFC 3711 §3.3.1: the index nearest to the highest one seen; the first packet starts at rollover counter 0.
fn estimate_index(window: Option<&ReplayWindow>, sequence_number: SequenceNumber) -> u64 {
    match window.and_then(ReplayWindow::highest) {
        None => u64::from(sequence_number.0),
        Some(highest) => {
            let index = sequence_number.extend(highest);
            // Before the first rollover there is nothing below zero: what seems so lies ahead.
            if index > highest.saturating_add(0x1_0000) { u64::from(sequence_number.0) } else { index }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtp::{FIXED_HEADER_LENGTH, write_header};
    use crate::types::PayloadType;

    const PROFILES: [SrtpProfile; 3] =
        [SrtpProfile::AeadAes128Gcm, SrtpProfile::AeadAes256Gcm, SrtpProfile::Aes128CmSha1_80];

    fn hex(text: &str) -> Vec<u8> {
        let digits: String = text.split_whitespace().collect();
        (0..digits.len()).step_by(2).map(|i| u8::from_str_radix(&digits[i..i + 2], 16).unwrap()).collect()
    }

    fn pair(profile: SrtpProfile) -> (SrtpSession, SrtpSession) {
        let material: Vec<u8> = (0..profile.keying_material_length() as u8).collect();
        (SrtpSession::new(profile, &material, true).unwrap(), SrtpSession::new(profile, &material, false).unwrap())
    }

    fn protect(session: &SrtpSession, index: u64, payload: &[u8]) -> Vec<u8> {
        let mut out = vec![0; 1500];
        let header =
            write_header(&mut out, false, PayloadType::new(96), SequenceNumber(index as u16), 1, Ssrc(42), &[]);
        let length = session.protect_rtp(Ssrc(42), index, header, payload, &mut out).unwrap();
        out.truncate(length);
        out
    }

    #[test]
    fn rtp_survives_the_way_through_every_profile_and_rollover() {
        for profile in PROFILES {
            let (sender, mut receiver) = pair(profile);
            for index in (0..5).chain(65_530..65_545).chain(131_070..131_075) {
                // A receiver follows jumps of less than half the number space only.
                if index == 65_530 {
                    for step in (20_000..65_530).step_by(20_000) {
                        receiver.unprotect_rtp(&mut protect(&sender, step, b"step")).unwrap();
                    }
                }
                if index == 131_070 {
                    for step in (80_000..131_070).step_by(20_000) {
                        receiver.unprotect_rtp(&mut protect(&sender, step, b"step")).unwrap();
                    }
                }
                let mut packet = protect(&sender, index, b"picture");
                assert_eq!(packet.len(), FIXED_HEADER_LENGTH + 7 + profile.rtp_overhead());
                assert_eq!(receiver.unprotect_rtp(&mut packet.clone()), Ok((index, FIXED_HEADER_LENGTH + 7)));
                assert_eq!(receiver.unprotect_rtp(&mut packet), Err(SrtpError::Replay));
            }
        }
    }

    #[test]
    fn a_late_packet_from_before_the_rollover_is_opened() {
        let (sender, mut receiver) = pair(SrtpProfile::AeadAes128Gcm);
        for index in [40_000, 65_534, 65_537] {
            receiver.unprotect_rtp(&mut protect(&sender, index, b"x")).unwrap();
        }
        assert_eq!(receiver.unprotect_rtp(&mut protect(&sender, 65_535, b"x")), Ok((65_535, 13)));
    }

    #[test]
    fn a_changed_bit_anywhere_is_noticed() {
        for profile in PROFILES {
            let (sender, mut receiver) = pair(profile);
            let packet = protect(&sender, 1, b"sound");
            for bit in 0..packet.len() * 8 {
                let mut forged = packet.clone();
                forged[bit / 8] ^= 1 << (bit % 8);
                assert!(receiver.unprotect_rtp(&mut forged).is_err(), "{profile:?} bit {bit}");
            }
            assert!(receiver.unprotect_rtp(&mut packet.clone()).is_ok());
        }
    }

    #[test]
    fn rtcp_survives_the_way_and_is_not_replayed() {
        for profile in PROFILES {
            let (mut sender, mut receiver) = pair(profile);
            let plain = [0x80, 201, 0, 1, 0, 0, 0, 9, 1, 2, 3, 4];
            for _ in 0..3 {
                let mut packet = Vec::new();
                sender.protect_rtcp(&plain, &mut packet).unwrap();
                assert_eq!(packet.len(), plain.len() + profile.rtcp_overhead());
                let mut again = packet.clone();
                let length = receiver.unprotect_rtcp(&mut packet).unwrap();
                assert_eq!(&packet[..length], plain);
                assert_eq!(receiver.unprotect_rtcp(&mut again), Err(SrtpError::Replay));
                let mut forged = again.clone();
                forged[9] ^= 1;
                assert!(receiver.unprotect_rtcp(&mut forged).is_err());
            }
            for length in 0..8 + profile.rtcp_overhead() {
                assert!(receiver.unprotect_rtcp(&mut vec![0x80; length]).is_err());
            }
        }
    }

    /// RFC 7714 §16.1.1: the vector gives session key and salt, so the cipher is built without derivation.
    #[test]
    fn the_aead_vector_of_rfc_7714() {
        use aws_lc_rs::aead::{AES_128_GCM, LessSafeKey, UnboundKey};
        let key = hex("00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f");
        let salt: [u8; 12] = hex("51 75 69 64 20 70 72 6f 20 71 75 6f").try_into().unwrap();
        let plain = hex("47616c6c 6961206 5 7374206f 6d6e6973 20646976 69736120 696e2070 61727465 73207472 6573");
        let header = hex("8040f17b 8041f8d3 5501a0b2");
        let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key).unwrap());
        let mut out = vec![0; plain.len() + AEAD_TAG];
        aead_seal(&key, aead_nonce(&salt, 0x5501_a0b2, 0xf17b), &header, &plain, &mut out).unwrap();
        assert_eq!(
            out,
            hex("f24de3a3 fb34de6c acba861c 9d7e4bca be633bd5 0d294e6f 42a5f47a 51c7d19b 36de3adf 8833899d
                 7f27beb1 6a9152cf 765ee439 0cce")
        );
    }
}
