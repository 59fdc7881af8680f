"""Nodes as a kind of target: their record, their drain, their Jobs, and how they are judged and put back."""
