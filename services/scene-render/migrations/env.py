from scene_render.models import Base
from shared.persistence.migrations import run

run(Base.metadata)
