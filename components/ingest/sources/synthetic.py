"""The source `synthetic:<n>@<series>`: the first n samples of an endless series."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from components.artifacts.labels import FILTERS
from components.ingest.sources.source import Listed, SourceImage
from components.synthetic import samples


@dataclass(frozen=True)
class Synthetic:
    """The samples 0 to n-1 of a series. Sample k does not depend on n, so that a larger n only adds samples."""

    num_samples: int
    series: int = 0
    num_without_files: int = 0
    num_unlabelled: int = 0
    is_synthetic: bool = True
    licence: str = "drawn by this program; Apache-2.0"

    @property
    def name(self) -> str:
        """One folder per series, which is the seed of its samples."""
        return f"synthetic-v{samples.FORMAT}-seed{self.series}"

    def validator(self) -> str:
        """The series and the number of samples."""
        return f"{self.name}:{self.num_samples}"

    def listed(self) -> list[Listed]:
        """All samples, in the series' order."""
        return [
            Listed(samples.sample_id(self.series, k), samples.sample_labels(self.series, k)) for k in range(self.num_samples)
        ]

    def chunks(self) -> Iterator[list[SourceImage]]:
        """One sample at a time, because its four filters are rendered together."""
        for sample_id in self._positions:
            yield [SourceImage(sample_id, name, None) for name in FILTERS]

    @property
    def stains(self) -> tuple[str, ...]:
        """The four colours."""
        return FILTERS

    @property
    def channels(self) -> dict[str, str]:
        """None: each filter has a file."""
        return {}

    def path(self, image: SourceImage) -> str:
        """The name of the image as a file."""
        return image.plain_name

    def read(self, images: Sequence[SourceImage]) -> Iterator[tuple[SourceImage, bytes]]:
        """Renders the samples of the images."""
        wanted: dict[str, list[SourceImage]] = defaultdict(list)
        for image in images:
            wanted[image.sample_id].append(image)
        for sample_id, of_sample in wanted.items():
            pngs = samples.render_sample(self.series, self._positions[sample_id]).pngs
            yield from ((image, pngs[image.filter]) for image in of_sample)

    @cached_property
    def _positions(self) -> dict[str, int]:
        return {samples.sample_id(self.series, k): k for k in range(self.num_samples)}
