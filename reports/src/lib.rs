//! SLO arithmetic, report assembly and renderers.
