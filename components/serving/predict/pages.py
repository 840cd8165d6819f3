"""HTML pages of the images with their predictions."""

import contextlib
from urllib.parse import quote

import numpy as np
from markupsafe import Markup

from components import storage
from components.reports.page import Section, image, render_page, table
from components.reports.pictures import SIDE_PX, draw, encode_jpeg
from components.reports.stains import composite, legend, stain_colours
from components.serving.model import Predictions, ServedModel
from components.serving.predict.decoding import Batch

PER_PAGE = 100
MAX_BAD = 200
_NUM_TOP = 3
_GRID = "display:grid;grid-template-columns:repeat(auto-fill,minmax(min({}px,100%),1fr));gap:1.5rem 1.2rem;margin-top:1rem"


class Pages:
    """Writes each page when it is full, in constant memory. A clean exit of `files` publishes all.

    Args:
        out_uri: The predictions beside which the pages are.
        model: The model that predicts.
        files: Keeps the unpublished pages.
    """

    def __init__(self, out_uri: str, model: ServedModel, files: contextlib.ExitStack) -> None:
        self._out_uri, self._model, self._files = out_uri, model, files
        self._figures: list[Markup] = []
        self._bad: list[tuple[str, str]] = []
        self._num_pages = self._num_bad = 0
        self._map_size = ""
        self._colours = stain_colours(model.trained.channels)

    def write(self, batch: Batch, predictions: Predictions) -> None:
        """Adds the samples of a batch. Bad ones go to the list on the last page."""
        maps = self._model.activation_maps(batch.pixels)
        if maps is not None:
            self._map_size = f"{maps.shape[1]} x {maps.shape[2]}"
        for row, (sample_id, reason) in enumerate(zip(batch.ids, batch.reasons, strict=True)):
            if reason:
                self.write_bad(sample_id, reason)
                continue
            if len(self._figures) == PER_PAGE:
                self._write_page(is_last=False)
            heat = None if maps is None else maps[row]
            self._figures.append(self._figure(sample_id, batch.pixels[row], batch.widths_um[row], predictions, row, heat))

    def write_bad(self, name: str, reason: str) -> None:
        """Adds a sample or a file that cannot be used."""
        self._num_bad += 1
        if len(self._bad) < MAX_BAD:
            self._bad.append((name, reason))

    def finish(self) -> None:
        """Writes the last page."""
        self._write_page(is_last=True)

    def _figure(
        self,
        sample_id: str,
        pixels: np.ndarray,
        width_um: float | None,
        predictions: Predictions,
        row: int,
        maps: np.ndarray | None,
    ) -> Markup:
        names, thresholds = self._model.trained.class_names, self._model.thresholds
        probabilities, decided = predictions.probabilities[row], predictions.decisions[row]
        top = np.argsort(-np.nan_to_num(probabilities), kind="stable")[:_NUM_TOP].tolist()
        alt = f"The stains of {sample_id}"
        heat = None
        if maps is not None:
            alt += f", and the activation map of {names[top[0]]}"
            heat = maps[:, :, top[0]] / max(float(maps[:, :, top[0]].max()), 1e-6)
        is_unlike = self._model.is_unlike_training(predictions.distance(row))
        rows = Markup("").join(
            Markup("<li>{}{}{}: {:.3f}, threshold {:.3f}</li>").format(
                *((Markup("<b>"), names[k], Markup("</b>")) if decided[k] else ("", names[k], "")),
                float(probabilities[k]),
                float(thresholds[k]),
            )
            for k in top
        )
        return Markup(
            '<figure style="margin:0;min-width:0">{}<figcaption style="overflow-wrap:anywhere">'
            '<h3 style="margin:0;font-size:.9rem">{}</h3>{}{}'
            '<ol style="margin:.2rem 0;padding-left:1.2rem;color:var(--faint)">{}</ol></figcaption></figure>'
        ).format(
            image(encode_jpeg(draw(composite(pixels, self._colours), heat, width_um)), "jpeg", alt),
            sample_id,
            "; ".join(names[k] for k in np.flatnonzero(decided)) or "no class above its threshold",
            Markup("<br>Unlike the training images") if is_unlike else "",
            rows,
        )

    def _write_page(self, is_last: bool) -> None:
        first = self._num_pages * PER_PAGE + 1
        self._num_pages += 1
        links = self._links(is_last) if self._num_pages > 1 or not is_last else Markup()
        content = Markup('{}<div style="{}">{}</div>{}').format(
            links,
            _GRID.format(2 * SIDE_PX if self._map_size else SIDE_PX),
            Markup("").join(self._figures),
            links,
        )
        title = f"Images {first:,} to {first + len(self._figures) - 1:,}" if self._figures else "No image could be used"
        sections = [Section(title, content, self._note() if self._figures else "")]
        if is_last and self._bad:
            hidden = self._num_bad - len(self._bad)
            more = f"{hidden:,} more are listed in {_name(self._out_uri).removesuffix('.csv')}.bad.csv." if hidden else ""
            sections.append(Section("Not predicted", table(["Sample or file", "Reason"], self._bad), more, "bad"))
        subtitle = f"By the model {self._model.uri}, {self._model.describe_precision()}."
        page = render_page(f"Predictions, page {self._num_pages}", subtitle, sections)
        uri = page_uri(self._out_uri, self._num_pages)
        if self._num_pages > 1:  # a killed process may have left it
            storage.remove(uri)
        path = self._files.enter_context(storage.create(uri))
        path.write_text(page, encoding="utf-8", errors="backslashreplace")  # for names that are not valid UTF-8
        self._figures = []

    def _links(self, is_last: bool) -> Markup:
        targets = [("Previous page", self._num_pages - 1)] if self._num_pages > 1 else []
        targets += [] if is_last else [("Next page", self._num_pages + 1)]
        links = [
            Markup('<a href="{}">{}</a>').format(quote(_name(page_uri(self._out_uri, number)), errors="surrogateescape"), text)
            for text, number in targets
        ]
        return Markup('<nav aria-label="Pages" style="margin:.9rem 0">{}</nav>').format(Markup(" | ").join(links))

    def _note(self) -> str:
        note = (
            f"{legend(self._model.trained.channels)} The contrast is what the model sees, not stretched. "
            "Below each image: its id, the classes that reach their thresholds, and the three most probable classes, in bold "
            "if they reach their thresholds."
        )
        if self._map_size:
            note += (
                " Right of it, over the stains in grey: the evidence for the most probable class (class activation map of "
                f"{self._map_size} pixels, interpolated; each map is scaled to its own maximum)."
            )
        return note


def page_uri(out_uri: str, number: int = 1) -> str:
    """A page beside the predictions: `predictions.html`, then `predictions-2.html`."""
    return f"{out_uri.removesuffix('.csv')}{f'-{number}' if number > 1 else ''}.html"


def _name(uri: str) -> str:
    return uri.rpartition("/")[2]
