#!/usr/bin/env bash
# Writes the first files of the corpora of the readers of containers, small ones, with FFmpeg.
set -euo pipefail
cd "$(dirname "$0")/corpus"

picture="-f lavfi -i testsrc2=size=32x32:rate=10:duration=0.5"
tone="-f lavfi -i sine=frequency=440:sample_rate=8000:duration=0.1"
h264="-c:v libx264 -preset ultrafast -pix_fmt yuv420p -g 3 -crf 45 -x264-params sei=0"
vp8="-c:v libvpx -b:v 20k -g 3"

write() {
    mkdir -p "$(dirname "$1")"
    # shellcheck disable=SC2086
    ffmpeg -hide_banner -loglevel error -nostdin -y $2 -fflags +bitexact -flags +bitexact "$1"
}

write container_adts/tone.aac "$tone -c:a aac -b:a 16k"
write container_adts/stereo.aac "$tone -ac 2 -c:a aac -b:a 16k"
write container_annex_b/baseline.h264 "$picture $h264 -profile:v baseline"
write container_annex_b/reordered.h264 "$picture -c:v libx264 -pix_fmt yuv420p -g 5 -bf 2 -crf 45"
write container_annex_b/interlaced.h264 "$picture -c:v libx264 -pix_fmt yuv420p -crf 45 -flags +ildct+ilme"
write container_ivf/vp8.ivf "$picture $vp8"
write container_ivf/vp9.ivf "$picture -c:v libvpx-vp9 -b:v 20k -g 3"
write container_ivf/av1.ivf "$picture -s 64x64 -c:v libsvtav1 -preset 12 -g 3"
write container_matroska/vp8_opus.webm "$picture -f lavfi -i sine=duration=0.1 $vp8 -c:a libopus -b:a 12k"
write container_matroska/h264_pcm.mkv "$picture $tone $h264 -c:a pcm_s16be"
write container_matroska/live.webm "$picture $vp8 -live 1 -cluster_time_limit 200"
write container_mp4/index_last.mp4 "$picture $tone $h264 -bf 2 -c:a aac -b:a 16k"
write container_mp4/fragmented.mp4 "$picture $h264 -movflags frag_keyframe+empty_moov+default_base_moof"
write container_mp4/separate.mp4 "$picture $tone $h264 -c:a aac -b:a 16k -movflags empty_moov+separate_moof+frag_keyframe"
write container_mp4/pcm.mov "$picture $tone $h264 -c:a pcm_s24le"
write container_mp4/moving.avif "$picture -s 64x64 -c:v libsvtav1 -preset 12 -g 3"
write container_ogg/opus.ogg "-f lavfi -i sine=duration=0.2 -c:a libopus -b:a 12k"
write container_ogg/vorbis.ogg "$tone -c:a libvorbis"
write container_wav/s16.wav "$tone"
write container_wav/f32.wav "$tone -c:a pcm_f32le"
write container_wav/mulaw.wav "$tone -c:a pcm_mulaw"
write container_wav/rf64.wav "$tone -rf64 always"
write container_webp/still.webp "$picture -frames:v 1 -c:v libwebp"
write container_webp/lossless.webp "$picture -frames:v 1 -c:v libwebp -lossless 1"
write container_webp/moving.webp "$picture -c:v libwebp_anim"
write container_y4m/pictures.y4m "$picture -pix_fmt yuv420p -frames:v 2"
write container_y4m/odd.y4m "-f lavfi -i testsrc2=size=15x9:rate=10:duration=0.2 -pix_fmt yuv420p"
