"""The server's Prometheus metrics."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest


class Metrics:
    """The metrics of one server."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter("hpa_requests", "Requests", ["path", "status"], registry=self._registry)
        self.seconds = Histogram("hpa_request_seconds", "Seconds from request to answer", ["path"], registry=self._registry)
        self.samples = Counter("hpa_samples", "Samples by result", ["result"], registry=self._registry)
        self._batch_size = Histogram(
            "hpa_batch_size", "Images in a batch", buckets=[1, 2, 4, 8, 16, 32], registry=self._registry
        )
        self._batch_seconds = Histogram("hpa_batch_seconds", "Seconds per batch", registry=self._registry)
        self.waiting = Gauge("hpa_samples_waiting", "Samples waiting or being decoded", registry=self._registry)
        self.version = Gauge("hpa_model_version", "The version that new requests use", registry=self._registry)

    def count_batch(self, size: int, seconds: float) -> None:
        """Counts a batch."""
        self._batch_size.observe(size)
        self._batch_seconds.observe(seconds)

    def to_text(self) -> bytes:
        """The metrics in Prometheus's text format."""
        return generate_latest(self._registry)
