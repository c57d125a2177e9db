//! Digits of 5 by 7 dots.

/// Dots of a character from left to right.
pub(super) const WIDTH: usize = 5;
/// Dots of a character from top to bottom.
pub(super) const HEIGHT: usize = 7;
/// Dots from one character to the next.
pub(super) const ADVANCE: usize = WIDTH + 1;

/// The rows of a character, the leftmost dot in the highest of five bits. What is no digit, colon or point is blank.
pub(super) const fn glyph(character: u8) -> [u8; HEIGHT] {
    match character {
        b'0' => [0b01110, 0b10001, 0b10001, 0b10001, 0b10001, 0b10001, 0b01110],
        b'1' => [0b00100, 0b01100, 0b10100, 0b00100, 0b00100, 0b00100, 0b11111],
        b'2' => [0b01110, 0b10001, 0b00001, 0b00110, 0b01000, 0b10000, 0b11111],
        b'3' => [0b11110, 0b00001, 0b00001, 0b01110, 0b00001, 0b00001, 0b11110],
        b'4' => [0b10010, 0b10010, 0b10010, 0b11111, 0b00010, 0b00010, 0b00010],
        b'5' => [0b11111, 0b10000, 0b10000, 0b11110, 0b00001, 0b00001, 0b11110],
        b'6' => [0b01110, 0b10000, 0b10000, 0b11110, 0b10001, 0b10001, 0b01110],
        b'7' => [0b11111, 0b00001, 0b00001, 0b00010, 0b00100, 0b00100, 0b00100],
        b'8' => [0b01110, 0b10001, 0b10001, 0b01110, 0b10001, 0b10001, 0b01110],
        b'9' => [0b01110, 0b10001, 0b10001, 0b01111, 0b00001, 0b00001, 0b01110],
        b':' => [0b00000, 0b00100, 0b00100, 0b00000, 0b00100, 0b00100, 0b00000],
        b'.' => [0b00000, 0b00000, 0b00000, 0b00000, 0b00000, 0b00100, 0b00100],
        _ => [0; HEIGHT],
    }
}
