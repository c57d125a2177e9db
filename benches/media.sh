#!/usr/bin/env bash
# Makes the film of the benchmarks in benches/media, once: 20 seconds of 1280x720 at 30 frames a second, H.264 baseline at
# 2.5 Mb/s, a keyframe every second. film.mp4 is for rtcast, film.h264 for the Rust peers, film.ts for aiortc: the same pictures.
set -euo pipefail
mkdir -p "$(dirname "$0")/media"
cd "$(dirname "$0")/media"
[ -e film.ts ] && exit 0

# make NAME BITRATE: noise keeps the encoder at its bitrate. One slice a picture, no reordering.
make() {
    ffmpeg -hide_banner -loglevel error -y -f lavfi -i "testsrc2=size=1280x720:rate=30,noise=alls=12:allf=t" -t 20 \
        -c:v libx264 -profile:v baseline -preset veryfast -tune zerolatency -pix_fmt yuv420p \
        -g 30 -keyint_min 30 -sc_threshold 0 -bf 0 -b:v "$2" -minrate "$2" -maxrate "$2" -bufsize "$(("${2%k}" / 2))k" \
        -x264-params sliced-threads=0:slices=1:threads=2 -movflags +faststart "part-$1"
    mv "part-$1" "$1"
}

make film-600k.mp4 600k
make film.mp4 2450k
ffmpeg -hide_banner -loglevel error -y -i film.mp4 -c copy \
    -bsf:v h264_mp4toannexb,h264_metadata=aud=insert -f h264 film.h264
ffmpeg -hide_banner -loglevel error -y -i film.mp4 -c copy -f mpegts part-film.ts
mv part-film.ts film.ts
