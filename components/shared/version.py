"""The version of the code: stamped on every artifact, and the tag of every image."""

VERSION = "0.1.0"
