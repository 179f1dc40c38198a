from scene_render.models import Base
from shared.migrations import run

run(Base.metadata)
