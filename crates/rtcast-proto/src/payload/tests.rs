use super::*;
use crate::types::MediaTime;

/// The frames of a small clip that an ordinary encoder made.
fn clip(codec: Codec, file: &[u8]) -> Vec<Frame> {
    let frames = match codec {
        Codec::H264 => access_units(file),
        _ => ivf_frames(file),
    };
    frames
        .into_iter()
        .zip(0..)
        .map(|(data, index)| {
            let keyframe = is_keyframe(codec, &data);
            Frame::new(codec, data, MediaTime::from_ticks(index, 30)).with_keyframe(keyframe)
        })
        .collect()
}

/// Splits a byte stream at its access unit delimiters, and writes it with start codes of four bytes and without them.
fn access_units(file: &[u8]) -> Vec<Vec<u8>> {
    let mut units: Vec<Vec<u8>> = Vec::new();
    for unit in h264::nal_units(file) {
        if h264::NalUnitType::of(unit) == Some(h264::NalUnitType::AccessUnitDelimiter) {
            units.push(Vec::new());
        } else {
            units.last_mut().unwrap().extend([&h264::START_CODE, unit].concat());
        }
    }
    units
}

/// The frames of an IVF file, without temporal delimiters.
fn ivf_frames(file: &[u8]) -> Vec<Vec<u8>> {
    let mut rest = &file[32..];
    let mut frames = Vec::new();
    while let Some((header, after)) = rest.split_first_chunk::<12>() {
        let length = u32::from_le_bytes(header[..4].try_into().unwrap()) as usize;
        let (frame, after) = after.split_at(length);
        frames.push(frame.strip_prefix(&[0x12, 0x00]).unwrap_or(frame).to_vec());
        rest = after;
    }
    frames
}

fn clips() -> Vec<(&'static str, Vec<Frame>)> {
    macro_rules! clip {
        ($codec:expr, $name:literal) => {
            ($name, clip($codec, include_bytes!(concat!("../../tests/fixtures/", $name))))
        };
    }
    vec![
        clip!(Codec::H264, "h264_high.h264"),
        clip!(Codec::H264, "h264_slices.h264"),
        clip!(Codec::Vp8, "vp8.ivf"),
        clip!(Codec::Vp9, "vp9.ivf"),
        clip!(Codec::Vp9, "vp9_superframe.ivf"),
        clip!(Codec::Av1, "av1_aom.ivf"),
        clip!(Codec::Av1, "av1_svt.ivf"),
    ]
}

#[expect(clippy::disallowed_methods, reason = "a test needs some instant")]
fn instant() -> Instant {
    Instant::now()
}

fn frame(codec: Codec, data: &[u8]) -> Frame {
    Frame::new(codec, Bytes::copy_from_slice(data), MediaTime::ZERO).with_keyframe(true)
}

fn packetize(codec: Codec, max_payload: usize, data: &[u8]) -> Result<PacketizedFrame, PayloadError> {
    Packetizer::new(codec, max_payload).packetize(&frame(codec, data), instant())
}

/// How many sends a frame takes if one send carries packets of one length, the last of them shorter or not.
fn runs(packets: &PacketizedFrame) -> usize {
    let lengths: Vec<usize> = packets.iter().map(<[u8]>::len).collect();
    let mut runs = 0;
    let mut at = 0;
    while at < lengths.len() {
        let length = lengths[at];
        at += lengths[at..].iter().take_while(|other| **other == length).count();
        if lengths.get(at).is_some_and(|next| *next < length) {
            at += 1;
        }
        runs += 1;
    }
    runs
}

#[test]
fn frames_of_real_encoders_come_back_byte_for_byte() {
    for (name, frames) in clips() {
        assert!(frames.len() >= 6, "{name} has {} frames", frames.len());
        for max_payload in [1_200, 1_100, 500, 101] {
            let mut packetizer = Packetizer::new(frames[0].codec, max_payload);
            let mut first_packet = 0;
            for frame in &frames {
                let packets = packetizer.packetize(frame, instant()).unwrap();
                assert_eq!(packets.first_packet, first_packet);
                first_packet += packets.len() as u64;
                let payloads: Vec<&[u8]> = packets.iter().collect();
                assert!(payloads.iter().all(|payload| payload.len() <= max_payload), "{name}");
                let joined = depacketize(frame.codec, &payloads).unwrap();
                assert_eq!(joined.data, frame.data, "{name}");
                assert_eq!(joined.keyframe, frame.keyframe, "{name}");
                assert!(starts_frame(frame.codec, payloads[0]), "{name}");
                assert_eq!(starts_keyframe(frame.codec, payloads[0]), frame.keyframe, "{name}");
                assert!(!payloads[1..].iter().any(|payload| starts_keyframe(frame.codec, payload)), "{name}");
            }
        }
    }
}

#[test]
fn keyframes_of_real_encoders_are_found_where_they_are() {
    for (name, frames) in clips() {
        let keyframes: Vec<usize> = (0..frames.len()).filter(|index| frames[*index].keyframe).collect();
        let expected = match name {
            "vp9_superframe.ivf" => vec![0],
            _ => vec![0, 4],
        };
        assert_eq!(keyframes, expected, "{name}");
        match frames[0].codec {
            Codec::Vp8 => assert_eq!(vp8::keyframe_size(&frames[0].data), Some((640, 360))),
            Codec::Vp9 => assert_eq!(vp9::keyframe_size(&frames[0].data), Some((640, 360))),
            Codec::H264 => {
                let set = h264::nal_units(&frames[0].data).find_map(h264::SequenceParameterSet::parse).unwrap();
                assert_eq!((set.width, set.height, set.reorders_pictures()), (640, 360, Some(false)));
            }
            _ => {}
        }
        assert_eq!(vp8::keyframe_size(&frames[1].data), None);
        assert_eq!(vp9::keyframe_size(&frames[1].data), None);
    }
}

#[test]
fn a_frame_is_one_run_of_equal_packets() {
    for (name, frames) in clips() {
        let mut packetizer = Packetizer::new(frames[0].codec, 1_100);
        for frame in &frames {
            let packets = packetizer.packetize(frame, instant()).unwrap();
            // For H.264 the parameter sets come first, then each slice.
            let most = match name {
                "h264_high.h264" => 1 + usize::from(frame.keyframe),
                "h264_slices.h264" => 4 + usize::from(frame.keyframe),
                _ => 1,
            };
            assert!(runs(&packets) <= most, "{name}: {:?}", packets.iter().map(<[u8]>::len).collect::<Vec<_>>());
        }
    }
}

#[test]
fn the_state_of_a_track_goes_on_and_a_refused_frame_leaves_it() {
    let mut packetizer = Packetizer::new(Codec::Vp8, 1_200);
    let mut identifiers = Vec::new();
    for _ in 0..3 {
        let packets = packetizer.packetize(&frame(Codec::Vp8, &[0x10; 2_000]), instant()).unwrap();
        assert!(packetizer.packetize(&frame(Codec::Vp9, &[0; 9]), instant()).is_err());
        assert!(packetizer.packetize(&frame(Codec::Vp8, &[]), instant()).is_err());
        assert_eq!(packets.first_packet, 2 * identifiers.len() as u64);
        identifiers.push(packets.payload(0).unwrap()[2..4].to_vec());
        assert_eq!(packets.payload(1).unwrap()[2..4], identifiers[identifiers.len() - 1][..]);
    }
    assert_eq!(identifiers, [[0x80, 0], [0x80, 1], [0x80, 2]]);
    packetizer.picture_id = 0x7fff;
    packetizer.packetize(&frame(Codec::Vp8, &[0x10]), instant()).unwrap();
    assert_eq!(packetizer.picture_id, 0);
}

#[test]
fn sound_is_one_packet() {
    for codec in [Codec::Opus, Codec::Pcmu, Codec::Pcma] {
        let packets = packetize(codec, 1_200, &[7; 160]).unwrap();
        assert_eq!(packets.iter().collect::<Vec<_>>(), [&[7; 160]]);
        let joined = depacketize(codec, &[&[7; 160]]).unwrap();
        assert_eq!((joined.data.as_ref(), joined.keyframe), (&[7; 160][..], true));
        let refused = packetize(codec, 1_200, &[7; 1_201]).unwrap_err();
        assert_eq!(refused, PayloadError::FrameTooLarge { codec, length: 1_201, limit: 1_200 });
        assert!(depacketize(codec, &[]).is_err());
        assert!(depacketize(codec, &[&[1], &[2]]).is_err());
    }
}

#[test]
fn h264_takes_start_codes_of_three_bytes_and_refuses_length_prefixes() {
    let packets = packetize(Codec::H264, 1_200, &[0, 0, 1, 0x09, 0xf0, 0, 0, 1, 0x67, 1, 0, 0, 1, 0x65, 0x88]).unwrap();
    assert_eq!(packets.iter().collect::<Vec<_>>(), [&[0x78, 0, 2, 0x67, 1, 0, 2, 0x65, 0x88]]);
    let refused = packetize(Codec::H264, 1_200, &[0, 0, 0, 2, 0x65, 0x88]).unwrap_err();
    assert!(refused.to_string().contains("avcC"), "{refused}");
    assert!(packetize(Codec::H264, 1_200, &[0, 0, 0, 1, 0x09, 0xf0]).is_err());
    assert!(packetize(Codec::H264, 1_200, &[0, 0, 0, 1, 0x78, 0xf0]).is_err());
}

#[test]
fn h264_of_other_senders() {
    let joined = |payloads: &[&[u8]]| depacketize(Codec::H264, payloads).map(|frame| frame.data.to_vec());
    // One NAL unit per packet, as packetization mode 0 has it, with a delimiter and a packet of padding.
    assert_eq!(
        joined(&[&[0x09, 0xf0], &[0x67, 1], &[], &[0x65, 0x88]]).unwrap(),
        [0, 0, 0, 1, 0x67, 1, 0, 0, 0, 1, 0x65, 0x88]
    );
    // A fragment that is first and last at once, against RFC 6184 §5.8, but sent by some.
    assert_eq!(joined(&[&[0x7c, 0xc5, 0x88]]).unwrap(), [0, 0, 0, 1, 0x65, 0x88]);
    for interleaved in [25, 26, 27, 29] {
        assert!(matches!(joined(&[&[interleaved, 0, 0, 0]]), Err(PayloadError::Unsupported { .. })));
    }
}

#[test]
fn h264_that_is_broken_is_refused() {
    let cases: [&[&[u8]]; 12] = [
        &[],
        &[&[]],
        &[&[0x78, 0x00, 0x01, 0xaa, 0x00]],
        &[&[0x78, 0, 0]],
        &[&[0x78, 0, 9, 0x65]],
        &[&[0x78, 0, 2, 0x78, 0]],
        &[&[0x7c]],
        &[&[0x7c, 0x85, 1]],
        &[&[0x7c, 0x05, 1], &[0x7c, 0x45, 1]],
        &[&[0x7c, 0x85, 1], &[0x7c, 0x41, 1]],
        &[&[0x7c, 0x85, 1], &[0x65, 1]],
        &[&[0x7c, 0x85, 1], &[0x7c, 0x85, 1], &[0x7c, 0x45, 1]],
    ];
    for payloads in cases {
        assert!(depacketize(Codec::H264, payloads).is_err(), "{payloads:?}");
    }
}

#[test]
fn h264_frames_start_where_the_first_macroblock_is() {
    assert!(starts_frame(Codec::H264, &[0x65, 0x88]));
    assert!(!starts_frame(Codec::H264, &[0x65, 0x48]), "a later slice");
    assert!(starts_frame(Codec::H264, &[0x7c, 0x85, 0x88]));
    assert!(!starts_frame(Codec::H264, &[0x7c, 0x05, 0x88]));
    assert!(!starts_frame(Codec::H264, &[0x7c, 0x85, 0x48]), "a later slice in fragments");
    assert!(starts_frame(Codec::H264, &[0x78, 0, 2, 0x67, 1, 0, 2, 0x68, 1]));
    assert!(starts_keyframe(Codec::H264, &[0x78, 0, 2, 0x09, 0xf0, 0, 2, 0x67, 1]));
    assert!(!starts_keyframe(Codec::H264, &[0x65, 0x88]));
}

#[test]
fn vp8_of_other_senders() {
    // Every extension, with a short and with a long picture identifier, and no extension at all.
    let frame =
        depacketize(Codec::Vp8, &[&[0x90, 0xf0, 0x11, 0x22, 0x33, 0xaa], &[0x00, 0xbb], &[0x03, 0xcc]]).unwrap();
    assert_eq!((frame.data.as_ref(), frame.keyframe), (&[0xaa, 0xbb, 0xcc][..], true));
    let frame = depacketize(Codec::Vp8, &[&[0x90, 0xa0, 0x91, 0x22, 0x33, 0xab]]).unwrap();
    assert_eq!((frame.data.as_ref(), frame.keyframe), (&[0xab][..], false));
    let cases: [&[&[u8]]; 6] =
        [&[], &[&[0x90]], &[&[0x90, 0x80, 0x80]], &[&[0x10]], &[&[0x00, 1]], &[&[0x10, 1], &[0x10, 2]]];
    for payloads in cases {
        assert!(depacketize(Codec::Vp8, payloads).is_err(), "{payloads:?}");
    }
}

#[test]
fn vp9_of_other_senders() {
    // Flexible mode with three references, then a second spatial layer, then a whole scalability structure.
    let payloads: [&[u8]; 3] = [
        &[0xfc, 0x81, 0x02, 0x00, 3, 5, 6, 0xaa],
        &[0xbc, 0x81, 0x02, 0x03, 0xbb],
        &[0x0e, 0x38, 0, 1, 0, 2, 0, 3, 0, 4, 2, 0x04, 1, 0x08, 1, 2, 0xcc],
    ];
    assert_eq!(depacketize(Codec::Vp9, &payloads).unwrap().data.as_ref(), [0xaa, 0xbb, 0xcc]);
    assert!(starts_frame(Codec::Vp9, payloads[0]));
    assert!(!starts_frame(Codec::Vp9, payloads[1]), "predicted from the layer below");
    assert!(!starts_keyframe(Codec::Vp9, payloads[0]));
    let cases: [&[&[u8]]; 6] = [&[], &[&[0x8c]], &[&[0x0c]], &[&[0x08, 1]], &[&[0x04, 1]], &[&[0x08, 1], &[0x0c, 2]]];
    for payloads in cases {
        assert!(depacketize(Codec::Vp9, payloads).is_err(), "{payloads:?}");
    }
}

#[test]
fn vp9_keyframes_of_every_profile_tell_their_size() {
    // frame_marker, profile, show_frame and so on, sync code, colour, then 640x360.
    assert_eq!(vp9::keyframe_size(&[0x82, 0x49, 0x83, 0x42, 0x00, 0x27, 0xf0, 0x16, 0x70]), Some((640, 360)));
    assert_eq!(vp9::keyframe_size(&[0xa2, 0x49, 0x83, 0x42, 0x00, 0x04, 0xfe, 0x02, 0xce]), Some((640, 360)));
    assert_eq!(vp9::keyframe_size(&[0x86, 0x49, 0x83, 0x42, 0x00, 0x27, 0xf0, 0x16, 0x70]), None);
    assert_eq!(vp9::keyframe_size(&[0x82, 0x49, 0x83, 0x42, 0x00, 0x27]), None);
}

#[test]
fn av1_of_other_senders() {
    // A delimiter that should not be there, a size field within the element, and lengths on all elements.
    let frame = depacketize(Codec::Av1, &[&[0x00, 0x01, 0x10, 0x03, 0x32, 0x01, 0xaa, 0x02, 0x30, 0xbb]]).unwrap();
    assert_eq!(frame.data.as_ref(), [0x32, 0x01, 0xaa, 0x32, 0x01, 0xbb]);
    // An extension octet, and an OBU in three pieces of which one is alone in its packet.
    let frame = depacketize(Codec::Av1, &[&[0x50, 0x34, 0x08], &[0xd0, 0xaa], &[], &[0xa0, 0x01, 0xbb, 0x30]]).unwrap();
    assert_eq!(frame.data.as_ref(), [0x36, 0x08, 0x02, 0xaa, 0xbb, 0x32, 0x00]);
    assert!(starts_keyframe(Codec::Av1, &[0x10, 0x08, 0]));
    assert!(starts_keyframe(Codec::Av1, &[0x18, 0x30, 0]));
    assert!(!starts_keyframe(Codec::Av1, &[0x10, 0x30, 0]));
    let cases: [&[&[u8]]; 9] = [
        &[],
        &[&[0x00]],
        &[&[0x00, 0x05, 0x30]],
        &[&[0x00, 0x80]],
        &[&[0x50, 0x30, 1]],
        &[&[0x90, 0x30, 1]],
        &[&[0x50, 0x30, 1], &[0x10, 0x30, 1]],
        &[&[0x10, 0x32, 0x05, 1]],
        &[&[0x10, 0x32, 0x01, 1, 2]],
    ];
    for payloads in cases {
        assert!(depacketize(Codec::Av1, payloads).is_err(), "{payloads:?}");
    }
}

#[test]
fn av1_with_many_small_units_comes_back() {
    let units = |count: usize| (0..count).flat_map(|index| [0x2a, 0x02, index as u8, 0xff]).collect::<Vec<u8>>();
    for count in [1, 2, 3, 4, 5, 40, 41, 200] {
        let data = [units(count).as_slice(), &[0x32, 0x90, 0x03], &[0xcd; 400]].concat();
        let packets = packetize(Codec::Av1, 130, &data).unwrap();
        assert!(packets.iter().all(|payload| payload.len() <= 130));
        let payloads: Vec<&[u8]> = packets.iter().collect();
        assert_eq!(depacketize(Codec::Av1, &payloads).unwrap().data, data, "{count}");
    }
    assert!(packetize(Codec::Av1, 1_200, &[0x30, 0xaa]).is_err(), "no size field");
    assert!(packetize(Codec::Av1, 1_200, &[0x12, 0x00]).is_err(), "nothing but a delimiter");
}

#[test]
fn a_frame_without_its_first_or_last_packet_is_refused() {
    for (name, frames) in clips() {
        let mut packetizer = Packetizer::new(frames[0].codec, 500);
        let packets = packetizer.packetize(&frames[0], instant()).unwrap();
        let payloads: Vec<&[u8]> = packets.iter().collect();
        assert!(payloads.len() > 3, "{name}");
        let (first, last) = (&payloads[1..], &payloads[..payloads.len() - 1]);
        match frames[0].codec {
            // Without the parameter sets the slice is still whole, and VP8 does not mark the end: sequence numbers must tell.
            Codec::H264 => assert!(depacketize(Codec::H264, last).is_err(), "{name}"),
            Codec::Vp8 => assert!(depacketize(Codec::Vp8, first).is_err(), "{name}"),
            codec => {
                assert!(depacketize(codec, first).is_err(), "{name}");
                assert!(depacketize(codec, last).is_err(), "{name}");
            }
        }
    }
}

#[test]
fn damaged_packets_never_panic() {
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = move |bound: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random >> 11) as usize % bound
    };
    for (_, frames) in clips() {
        let codec = frames[0].codec;
        let packets = Packetizer::new(codec, 300).packetize(&frames[0], instant()).unwrap();
        let whole: Vec<Vec<u8>> = packets.iter().take(6).map(<[u8]>::to_vec).collect();
        for _ in 0..2_000 {
            let mut damaged = whole.clone();
            for _ in 0..=next(4) {
                let index = next(damaged.len());
                let payload = &mut damaged[index];
                let head = next(payload.len().clamp(1, 12));
                match next(3) {
                    0 => payload.truncate(head),
                    _ if payload.is_empty() => {}
                    _ => payload[head] = next(256) as u8,
                }
            }
            let payloads: Vec<&[u8]> = damaged.iter().map(Vec::as_slice).collect();
            for codec in Codec::ALL {
                if let Ok(joined) = depacketize(codec, &payloads) {
                    assert!(joined.data.len() <= payloads.iter().map(|payload| 2 * payload.len() + 8).sum());
                    assert_eq!(joined.keyframe, is_keyframe(codec, &joined.data));
                }
                for payload in &payloads {
                    assert!(!starts_keyframe(codec, payload) || starts_frame(codec, payload) || codec == Codec::H264);
                }
            }
        }
    }
}

#[test]
fn h264_of_packetization_mode_0_is_sent_as_single_nal_units() {
    let single = RtpCodec::with_fmtp(Codec::H264, "packetization-mode=0;profile-level-id=42e01f");
    let frame = |lengths: &[usize]| {
        let mut data = Vec::new();
        for (number, length) in lengths.iter().enumerate() {
            data.extend_from_slice(&[0, 0, 0, 1, [0x67, 0x68, 0x65][number.min(2)]]);
            data.resize(data.len() + length - 1, 0x55);
        }
        Frame::new(Codec::H264, data, MediaTime::ZERO).with_keyframe(true)
    };
    #[expect(clippy::disallowed_methods, reason = "a test needs some instant")]
    let now = Instant::now();
    let units = [20, 5, 1_000, 900];
    let packets = Packetizer::of(&single, 1_000).packetize(&frame(&units), now).unwrap();
    assert_eq!(packets.iter().map(<[u8]>::len).collect::<Vec<_>>(), units, "one unit a packet, none put together");
    let payloads: Vec<&[u8]> = packets.iter().collect();
    assert_eq!(depacketize(Codec::H264, &payloads).unwrap().data, frame(&units).data);
    let mut packetizer = Packetizer::of(&single, 1_000);
    let error = packetizer.packetize(&frame(&[20, 5, 1_001]), now).unwrap_err();
    assert!(error.to_string().contains("smaller slices"), "{error}");
    let usual = RtpCodec::with_fmtp(Codec::H264, "packetization-mode=1");
    assert_eq!(Packetizer::of(&usual, 1_000).packetize(&frame(&[20, 5, 1_001]), now).unwrap().len(), 3);
}
