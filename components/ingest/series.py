"""The source `synthetic:<n>`: the first n of an endless series of drawn samples."""

from dataclasses import dataclass
from functools import cached_property

from components.ingest import synthetic
from components.ingest.source import Listed


@dataclass(frozen=True)
class Synthetic:
    """The samples 0 to n-1 of a seed's series. Sample k is the same whatever n is, so that a larger n only adds samples."""

    num_samples: int
    seed: int
    num_without_files: int = 0
    is_constant: bool = True
    licence: str = "drawn by this program; Apache-2.0"

    @property
    def name(self) -> str:
        """One folder a series."""
        return f"synthetic-v{synthetic.FORMAT}-seed{self.seed}"

    def validator(self) -> str:
        """The series and how much of it."""
        return f"{self.name}:{self.num_samples}"

    def listed(self) -> list[Listed]:
        """All samples, in the series' order."""
        return [
            Listed(synthetic.sample_id(self.seed, k), synthetic.sample_labels(self.seed, k)) for k in range(self.num_samples)
        ]

    def read(self, sample_id: str) -> dict[str, bytes]:
        """Draws the sample."""
        return dict(synthetic.render_sample(self.seed, self._positions[sample_id]).pngs)

    @cached_property
    def _positions(self) -> dict[str, int]:
        return {synthetic.sample_id(self.seed, k): k for k in range(self.num_samples)}
