"""Workloads as a kind of target: their images, their record, and how they are judged and put back."""
