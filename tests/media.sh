#!/usr/bin/env bash
# Makes the films of the tests in tests/media, each once: a moving pattern with a flat block of a known colour in the upper left
# corner, and a tone of 440 Hz.
set -euo pipefail
export SVT_LOG=1
mkdir -p "$(dirname "$0")/media"
cd "$(dirname "$0")/media"

# film NAME ENCODER-ARGUMENTS…: six seconds of 640x360 at 30 frames a second, a keyframe every second.
film() {
    local name=$1
    shift
    [ -e "$name" ] && return 0
    ffmpeg -hide_banner -loglevel error -y \
        -f lavfi -i "testsrc2=size=640x360:rate=30,drawbox=x=0:y=0:w=160:h=120:color=0xC02040:t=fill" \
        -f lavfi -i "sine=frequency=440:sample_rate=48000" -ac 2 -t 6 -pix_fmt yuv420p "$@" "part-$name"
    mv "part-$name" "$name"
}

film high.mp4 -c:v libx264 -preset medium -profile:v high -bf 3 -g 30 -c:a aac -b:a 128k
film baseline.mp4 -c:v libx264 -preset veryfast -profile:v baseline -bf 0 -g 30 -c:a aac -b:a 128k
film vp8.webm -c:v libvpx -deadline realtime -cpu-used 8 -b:v 1500k -g 30 -c:a libopus -b:a 96k
film vp9.webm -c:v libvpx-vp9 -deadline realtime -cpu-used 8 -b:v 1500k -g 30 -c:a libopus -b:a 96k
# 4 Mb/s and a keyframe every ten seconds: a film as people have it.
film long-group.mp4 -vf noise=alls=24:allf=t -r 25 -t 20 -c:v libx264 -preset ultrafast -profile:v baseline -bf 0 -g 250 \
    -keyint_min 250 -sc_threshold 0 -b:v 4M -maxrate 4M -bufsize 4M -c:a aac -b:a 128k
film av1.mp4 -c:v libsvtav1 -preset 12 -g 30 -c:a aac -b:a 128k

# flat NAME MATRIX RANGE ENCODER-ARGUMENTS…: four seconds of one colour, 200 50 50, with 440 Hz on the left and 880 Hz on the right.
flat() {
    local name=$1 matrix=$2 range=$3
    shift 3
    [ -e "$name" ] && return 0
    ffmpeg -hide_banner -loglevel error -y \
        -f lavfi -i "color=c=0xC83232:size=320x240:rate=25,format=rgb24,scale=out_color_matrix=$matrix:out_range=$range,format=yuv420p" \
        -f lavfi -i "aevalsrc=0.2*sin(2*PI*440*t)|0.2*sin(2*PI*880*t):sample_rate=48000:channel_layout=stereo" -t 4 "$@" "part-$name"
    mv "part-$name" "$name"
}

bt709=(-colorspace bt709 -color_primaries bt709 -color_trc bt709)
flat bt709-b.mp4 bt709 tv -c:v libx264 -bf 3 "${bt709[@]}" -color_range tv -c:a aac
flat full-b.mp4 bt601 pc -c:v libx264 -bf 3 -colorspace smpte170m -color_primaries smpte170m -color_trc smpte170m -color_range pc -c:a libopus
flat untagged.mp4 bt601 tv -c:v libx264 -profile:v baseline -bf 0 -c:a libopus
flat bt709.webm bt709 tv -c:v libvpx -deadline realtime -cpu-used 8 "${bt709[@]}" -color_range tv -c:a libopus
flat anamorphic.mp4 bt601 tv -c:v libx264 -profile:v baseline -bf 0 -vf scale=360:288,setsar=64/45 -c:a libopus

# A picture that stands: one frame each ten seconds.
[ -e still.mp4 ] || {
    ffmpeg -hide_banner -loglevel error -y -f lavfi -i "color=c=0xC83232:size=320x240:rate=1/10" -t 40 -pix_fmt yuv420p \
        -c:v libx264 -profile:v baseline -bf 0 part-still.mp4
    mv part-still.mp4 still.mp4
}
