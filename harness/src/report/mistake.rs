//! A mistake in a file, pointed at.
//!
//! Knows: how to draw a line of a file with a caret under it. Must not know: what makes it one.

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use super::wrap;
use crate::scenario::Mistake;

/// The mistake as a person reads it, with ANSI colours.
pub fn render(mistake: &Mistake) -> String {
    let title = Level::ERROR.primary_title(wrap(&mistake.message, 72).join("\n"));
    let group = if mistake.source_line.is_empty() {
        Group::with_title(title).element(Origin::path(mistake.file.as_str()).line(mistake.line))
    } else {
        title.element(snippet(mistake))
    };
    let group = match &mistake.help {
        Some(help) => group.element(Level::HELP.message(wrap(help, 72).join("\n"))),
        None => group,
    };
    format!("{}\n", Renderer::styled().render(&[group]))
}

fn snippet(mistake: &Mistake) -> Snippet<'_, annotate_snippets::Annotation<'_>> {
    let extent = mistake.extent();
    let byte = |column: usize| {
        mistake.source_line.char_indices().nth(column).map_or(mistake.source_line.len(), |(i, _)| i)
    };
    Snippet::source(mistake.source_line.as_str())
        .line_start(mistake.line)
        .path(mistake.file.as_str())
        .annotation(AnnotationKind::Primary.span(byte(extent.start)..byte(extent.end)))
}
