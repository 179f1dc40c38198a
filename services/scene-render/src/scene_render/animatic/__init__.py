"""Draws animatics: moving previsualisations of scenes, from nothing but the storyboard."""

from scene_render.animatic.film import draw

__all__ = ["draw"]
