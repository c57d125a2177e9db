//! How pictures are meant to be shown, as containers and bitstreams say it.

use rtcast_media::container::{self, Options};
use rtcast_media::properties::{ColourDescription, FieldOrder, Orientation, PictureProperties};
use rtcast_media::{Source, SourceCodec};
use rtcast_track::MediaKind;

use crate::media::sample;
use crate::open;

const HD: ColourDescription = ColourDescription { primaries: 1, transfer: 1, matrix: 1, full_range: Some(true) };
const WIDE: Option<(u32, u32)> = Some((64, 45));

fn of(name: &str) -> PictureProperties {
    open(&sample(name)).streams()[0].picture
}

#[test]
fn containers_and_bitstreams_tell_shape_and_colours() {
    // The first two say it in their boxes and elements, the third has nothing but the parameter set of H.264.
    for name in ["tagged.mp4", "tagged.mkv", "tagged.h264"] {
        let found = of(name);
        assert_eq!((found.sample_aspect_ratio, found.colour, found.bit_depth), (WIDE, HD, 8), "{name}");
        assert_eq!(found.display_size(720, 576), (1_024, 576), "{name}");
        assert_eq!((found.field_order, found.orientation), (FieldOrder::Progressive, Orientation::default()), "{name}");
    }
    // The bitstreams of these have their own words for colours.
    let limited = ColourDescription { full_range: Some(false), ..HD };
    for name in ["tagged.vp9.ivf", "tagged.av1.ivf"] {
        let found = of(name);
        assert_eq!((found.colour, found.bit_depth), (limited, 8), "{name}");
    }
}

#[test]
fn uncompressed_and_interlaced_pictures_tell_their_fields() {
    let found = of("tagged.y4m");
    assert_eq!((found.sample_aspect_ratio, found.field_order), (WIDE, FieldOrder::TopFirst));
    assert_eq!(of("interlaced.h264").field_order, FieldOrder::Interlaced);
}

#[test]
fn what_ffmpeg_decodes_keeps_its_properties() {
    let mut options = Options::default();
    options.decode = vec![MediaKind::Video];
    let demuxer = container::open_with(&Source::Path(sample("tagged.mp4")), &options).unwrap();
    let stream = &demuxer.streams()[0];
    assert_eq!(stream.codec, SourceCodec::I420);
    assert_eq!(stream.picture.sample_aspect_ratio, WIDE);
    assert_eq!(stream.picture.colour.matrix, HD.matrix);
}

#[test]
fn a_picture_that_is_turned_says_how() {
    let mut bytes = std::fs::read(sample("baseline.mp4")).unwrap();
    let at = bytes.windows(4).position(|kind| kind == b"tkhd").unwrap() + 44;
    let folder = tempfile::tempdir().unwrap();
    for (matrix, mirrored, quarter_turns) in
        [([0, 1, -1, 0], false, 1), ([-1, 0, 0, -1], false, 2), ([-1, 0, 0, 1], true, 0), ([0, 0, 0, 0], false, 0)]
    {
        let [a, b, c, d] = matrix.map(|number: i32| number << 16);
        for (place, number) in bytes[at..].chunks_mut(4).zip([a, b, 0, c, d]) {
            place.copy_from_slice(&number.to_be_bytes());
        }
        let path = folder.path().join("turned.mp4");
        std::fs::write(&path, &bytes).unwrap();
        let mut options = Options::default();
        options.ffmpeg = None;
        let demuxer = container::open_with(&Source::Path(path), &options).unwrap();
        let expected = Orientation { mirrored, quarter_turns };
        assert_eq!(demuxer.streams()[0].picture.orientation, expected, "{matrix:?}");
    }
}
