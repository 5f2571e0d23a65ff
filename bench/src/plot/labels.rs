//! Text beside points, so that no label lies on another.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::{Canvas, Drawn, FONT, TEXT_SIZE};

/// About how wide a character is, in pixels; the font is the reader's.
const CHARACTER: i32 = 7;
/// How high a line of text is, in pixels.
const LINE: i32 = 14;
/// How far a label is from its point, in pixels.
const GAP: i32 = 7;

#[derive(Debug)]
pub(super) struct Labels {
    /// How far labels may go, in pixels from the left.
    room: std::ops::Range<i32>,
    /// Left, top, right, bottom of what is there, in pixels.
    placed: Vec<[i32; 4]>,
}

impl Labels {
    /// None yet; all of them will be in `room`, in pixels from the left.
    pub(super) fn within(room: std::ops::Range<i32>) -> Self {
        Labels {
            room,
            placed: Vec::new(),
        }
    }

    pub(super) fn keep_free(&mut self, (x, y): (i32, i32)) {
        self.placed.push([x - 4, y - 4, x + 4, y + 4]);
    }

    /// Finds the place for a label beside `at`: its left end and its middle line.
    fn place(&mut self, text: &str, (x, y): (i32, i32)) -> (i32, i32) {
        let length = text.chars().count() as i32 * CHARACTER;
        let around = |up: i32| {
            let right = (x + GAP, y + up);
            let left = (x - GAP - length, y + up);
            [right, left]
        };
        let heights = [0, -LINE, LINE, -2 * LINE, 2 * LINE, -3 * LINE, 3 * LINE];
        let rectangle = |(x, y): (i32, i32)| [x, y - LINE / 2, x + length, y + LINE / 2];
        let is_free = |&place: &(i32, i32)| {
            let [left, top, right, bottom] = rectangle(place);
            let apart = |other: &[i32; 4]| {
                right <= other[0] || left >= other[2] || bottom <= other[1] || top >= other[3]
            };
            left >= self.room.start && right <= self.room.end && self.placed.iter().all(apart)
        };
        let found = heights.into_iter().flat_map(around).find(is_free);
        let place = found.unwrap_or((x + GAP, y));
        self.placed.push(rectangle(place));
        place
    }

    /// Writes a label beside the pixel `at`.
    pub(super) fn write(
        &mut self,
        canvas: &Canvas<'_>,
        text: &str,
        at: (i32, i32),
        colour: RGBColor,
    ) -> Drawn {
        let place = self.place(text, at);
        write(canvas, text, place, HPos::Left, colour)
    }
}

/// Writes a text whose left end, or right end, and middle line are at a pixel.
pub(super) fn write(
    canvas: &Canvas<'_>,
    text: &str,
    at: (i32, i32),
    end: HPos,
    colour: RGBColor,
) -> Drawn {
    let style = (FONT, TEXT_SIZE)
        .into_font()
        .color(&colour)
        .pos(Pos::new(end, VPos::Center));
    canvas.draw(&Text::new(text.to_owned(), at, style))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_one_point_lie_apart_and_within_the_picture() {
        let mut labels = Labels::within(60..760);
        labels.keep_free((700, 100));
        let texts = ["first", "second", "the third of them", "x"];
        for text in texts {
            let (left, _) = labels.place(text, (700, 100));
            assert!(left >= 60 && left + text.len() as i32 * CHARACTER <= 760);
        }
        for (n, a) in labels.placed.iter().enumerate() {
            for b in &labels.placed[n + 1..] {
                assert!(
                    a[2] <= b[0] || b[2] <= a[0] || a[3] <= b[1] || b[3] <= a[1],
                    "{a:?} {b:?}"
                );
            }
        }
    }
}
