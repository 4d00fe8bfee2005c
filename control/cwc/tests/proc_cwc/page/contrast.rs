//! Contrast of the page's colours, computed from its style sheet.

use std::collections::BTreeMap;

use crate::rig::Rig;

/// LIC-932, contrast: every colour is named once for each scheme, and each text on each ground that
/// it has reaches 4.5:1 (WCAG 2.1, 1.4.3). `browser_page` computes it for each text as it is drawn.
#[test]
fn the_colours_of_the_style_sheet_have_contrast() {
    let rig = Rig::new("eval");
    let _cwc = rig.start();
    let css = rig.client().get("/page.css").body;
    let schemes: Vec<BTreeMap<String, [f64; 3]>> = css
        .split(":root {")
        .skip(1)
        .map(|block| colours(block.split_once('}').unwrap().0))
        .collect();
    assert_eq!(schemes.len(), 2, "light and dark");
    // Elsewhere colours are names, but for white on a coloured ground.
    let rules = css.rsplit_once(":root {").unwrap().1.split_once('}').unwrap().1;
    for part in rules.split('#').skip(1) {
        assert!(part.starts_with("ffffff"), "a colour without a name: #{part}");
    }
    let white = [1.0; 3];
    for scheme in &schemes {
        let mut pairs = vec![];
        for text in ["ink", "faint", "link"] {
            for ground in ["ground", "card"] {
                pairs.push((text, scheme[text], ground, scheme[ground]));
            }
        }
        for ground in ["allow", "warn", "block", "button"] {
            pairs.push(("white", white, ground, scheme[ground]));
        }
        for (text, over, ground, under) in pairs {
            let ratio = contrast(over, under);
            assert!(ratio >= 4.5, "{text} on {ground}: {ratio:.2}");
        }
    }
}

fn colours(block: &str) -> BTreeMap<String, [f64; 3]> {
    let part = |text: &str| f64::from(u8::from_str_radix(text, 16).unwrap()) / 255.0;
    block
        .split(';')
        .filter_map(|line| line.trim().strip_prefix("--")?.split_once(": #"))
        .map(|(name, hex)| {
            (name.to_owned(), [part(&hex[0..2]), part(&hex[2..4]), part(&hex[4..6])])
        })
        .collect()
}

/// WCAG's contrast ratio of two colours.
fn contrast(one: [f64; 3], other: [f64; 3]) -> f64 {
    let luminance = |colour: [f64; 3]| {
        let [r, g, b] = colour.map(|part| {
            if part <= 0.040_45 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
        });
        0.2126 * r + 0.7152 * g + 0.0722 * b
    };
    let (one, other) = (luminance(one), luminance(other));
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

/// The formula itself: the known ratios of black, white and a grey.
#[test]
fn the_contrast_formula_gives_the_known_ratios() {
    assert!((contrast([0.0; 3], [1.0; 3]) - 21.0).abs() < 1e-9);
    assert!((contrast([1.0; 3], [1.0; 3]) - 1.0).abs() < 1e-9);
    let grey = [f64::from(0x76_u8) / 255.0; 3];
    assert!((contrast(grey, [1.0; 3]) - 4.54).abs() < 0.01);
}
