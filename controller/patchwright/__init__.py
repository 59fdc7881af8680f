"""Patchwright patches Kubernetes fleets: canary first, wave by wave, and back again when health fails."""

__version__ = "0.1.0"
