// The types of the gateway's tRPC API and of its Socket.IO events. Written by `make types`; do not edit.
//   import type { AppRouter } from './app-router';                     // with @trpc/client 11.0 and later, superjson
//   import type { ServerToClientEvents, ClientToServerEvents } from './app-router';     // with socket.io-client 4

import type {
  BuiltRouter,
  MutationProcedure,
  QueryProcedure,
  SubscriptionProcedure,
  TRPC_ERROR_CODE_KEY,
  TRPC_ERROR_CODE_NUMBER,
} from '@trpc/server/unstable-core-do-not-import';

export interface ErrorShape {
  /** For people; for an invalid input, its issues as JSON. */
  message: string;
  code: TRPC_ERROR_CODE_NUMBER;
  data: {
    code: TRPC_ERROR_CODE_KEY;
    httpStatus: number;
    path?: string;
    /** What is wrong with the input; null for other errors. */
    zodError: { formErrors: string[]; fieldErrors: Record<string, string[] | undefined> } | null;
    /** Identifies the request in the log of the server. */
    requestId: string;
  };
}

interface Root {
  ctx: object;
  meta: object;
  errorShape: ErrorShape;
  transformer: true;
}

export type AppRouter = BuiltRouter<Root, {
  video: {
    /** Request a video. With the header `idempotency-key`, repeated calls create only one. */
    generate: MutationProcedure<{ meta: object; input: GenerateInput; output: Generated }>;
    /** Get the state of a video. */
    status: QueryProcedure<{ meta: object; input: VideoInput; output: VideoStatus }>;
    /** List the videos, newest first. */
    list: QueryProcedure<{ meta: object; input: PageInput | undefined | void; output: VideoList }>;
    /** Get a video. */
    get: QueryProcedure<{ meta: object; input: VideoInput; output: VideoRow }>;
    /** Cancel a video. Waiting scenes do not start; running ones may still be charged. */
    cancel: MutationProcedure<{ meta: object; input: VideoInput; output: Done }>;
    /** Approve the storyboard of a video that awaits its review, as it is. */
    approve: MutationProcedure<{ meta: object; input: VideoInput; output: Done }>;
    /** Approve the first frames of a video that awaits it. Its clips are ordered now. */
    approveFrames: MutationProcedure<{ meta: object; input: VideoInput; output: Done }>;
    /** Have the first frame of a scene made again from a description, or replaced by an upload. */
    rejectFrame: MutationProcedure<{ meta: object; input: FrameInput; output: Done }>;
    /** Follow a video: first the missed events, then new ones until it has ended. */
    events: SubscriptionProcedure<{ meta: object; input: EventsInput; output: AsyncIterable<{ id: string; data: VideoEvent }, void, unknown> }>;
  };
}>;

export interface ServerToClientEvents {
  video_generation_started: (payload: VideoPayload) => void;
  video_storyboard_created: (payload: StoryboardPayload) => void;
  video_picture_rendered: (payload: PicturePayload) => void;
  video_frames_rendered: (payload: VideoPayload) => void;
  video_scene_processing: (payload: ScenePayload) => void;
  video_scene_completed: (payload: SceneCompletedPayload) => void;
  video_scene_failed: (payload: SceneFailedPayload) => void;
  video_stream_extended: (payload: StreamPayload) => void;
  video_combining_scenes: (payload: VideoPayload) => void;
  video_completed: (payload: CompletedPayload) => void;
  video_failed: (payload: FailedPayload) => void;
  video_cancelled: (payload: VideoPayload) => void;
  video_expired: (payload: VideoPayload) => void;
}

/** A video, and the last `seq` that the client has: later events are sent first. */
export interface VideoSubscription {
  videoId: string;
  lastSeq?: number;
}

export type Answer = { ok: true } | { ok: false; error: string };

/** A video by its bare id or with the last known `seq`; without argument: all videos that the caller may see. */
export interface ClientToServerEvents {
  subscribe_video_updates: (video?: VideoSubscription | string | null, answer?: (answer: Answer) => void) => void;
  unsubscribe_video_updates: (video?: VideoSubscription | string | null, answer?: (answer: Answer) => void) => void;
}

/** The events of `video.events`: the same as on the socket. */
export type VideoEvent = {
  [Name in keyof ServerToClientEvents]: { type: Name; data: Parameters<ServerToClientEvents[Name]>[0] };
}[keyof ServerToClientEvents];

/** A picture of a person, place or thing in the story. `image` is an upload. */
export interface ReferenceBody {
  name: string;
  image: string;
}

/** A request for a video. */
export interface GenerateInput {
  prompt: string;
  niche?: string;
  sceneCount?: number;
  /** Seconds */
  duration?: number;
  /** Another name of `duration` */
  totalDuration?: number;
  /** Wait for approvals, see `video.approve` */
  review?: boolean;
  /** `draft` is free, `premium` spends more on the key moments */
  quality?: "draft" | "standard" | "premium";
  /** Uploaded pictures of people, places or things of the story */
  references?: ReferenceBody[];
  /** What becomes of the sound that models make */
  clipSound?: "keep" | "lower" | "drop";
}

/** A video was accepted and is rendered in the background. */
export interface Generated {
  success: true;
  message: string;
  videoId: string;
}

/** One video. */
export interface VideoInput {
  videoId: string;
}

/** A scene and its state. `duration` is in seconds, `progress` 0-100; `videoUrl`: its clip, once rendered. */
export interface SceneRow {
  sceneNumber: number;
  description: string;
  cameraAngle: "wide" | "medium" | "close-up" | "overhead" | "pov";
  duration: number;
  action: string;
  transition: "cut" | "fade" | "dissolve" | "wipe";
  state: "waiting" | "unconfirmed" | "rendering" | "rendered" | "failed";
  progress: number;
  videoUrl: string | null;
  firstFrameUrl: string | null;
  errorMessage: string | null;
}

/** The state of a video. `progress` is 0-100 and never decreases; `etaSeconds` is null while it is unknown. `expiresAt`: when its film is removed, or was. */
export interface VideoStatus {
  videoId: string;
  status: "pending" | "processing" | "completed" | "failed" | "cancelled" | "expired";
  progress: number;
  /** The scenes that are rendered, plus one; at most `totalScenes` */
  currentScene: number;
  totalScenes: number;
  currentStep: "storyboard" | "review" | "scenes" | "frames" | "combining" | "storing" | "completed" | "failed" | "cancelled";
  /** Whether it waits for an approval: `video.approve`, `approveFrames` */
  awaitingReview: boolean;
  etaSeconds: number | null;
  etaRangeSeconds: unknown[] | null;
  videoUrl?: string;
  streamUrl?: string;
  thumbnailUrl?: string;
  errorMessage?: string;
  expiresAt?: Date;
  scenes: SceneRow[];
}

/** A page of the list. */
export interface PageInput {
  limit?: number;
  offset?: number;
}

export type JsonValue = unknown;

/** A row of the table `videos`, and its progress. `duration` is in seconds. */
export interface VideoRow {
  id: number;
  videoId: string;
  postId: string | null;
  niche: string;
  prompt: string;
  storyScript: string;
  scenes: SceneRow[];
  videoUrl: string | null;
  streamUrl: string | null;
  thumbnailUrl: string | null;
  duration: number | null;
  status: "pending" | "processing" | "completed" | "failed" | "cancelled" | "expired";
  metadata: Record<string, JsonValue>;
  createdAt: Date;
  completedAt: Date | null;
  title: string | null;
  progress: number;
  currentStep: "storyboard" | "review" | "scenes" | "frames" | "combining" | "storing" | "completed" | "failed" | "cancelled";
  errorMessage: string | null;
  /** When its film is removed, or was; null: it is kept */
  expiresAt: Date | null;
}

/** Videos, newest first, and their total number. */
export interface VideoList {
  videos: VideoRow[];
  total: number;
}

/** The call succeeded. */
export interface Done {
  success: true;
  message: string;
}

/** Another first frame of a scene: made from a `description`, or an uploaded `image`. */
export interface FrameInput {
  videoId: string;
  sceneNumber: number;
  description?: string | null;
  image?: string | null;
}

/** A video, and the last event that the client has; without it, the stream begins with the newest event. */
export interface EventsInput {
  videoId: string;
  lastEventId?: string | null;
  lastSeq?: number | null;
}

/** The state of one scene. `progress` is 0-100. */
export interface SceneSummary {
  sceneNumber: number;
  state: "waiting" | "unconfirmed" | "rendering" | "rendered" | "failed";
  progress: number;
}

/** The state of a video. `progress` is 0-100 and never falls; `seq` is null in hints, which are not stored. */
export interface VideoPayload {
  videoId: string;
  seq: number | null;
  status: "pending" | "processing" | "completed" | "failed" | "cancelled" | "expired";
  progress: number;
  currentStep: "storyboard" | "review" | "scenes" | "frames" | "combining" | "storing" | "completed" | "failed" | "cancelled";
  /** The scenes that are rendered, plus one; at most `totalScenes` */
  currentScene: number;
  totalScenes: number;
  /** Why it waits for more than its turn, if it does */
  notice: string | null;
  etaSeconds?: number | null;
  etaRangeSeconds?: unknown[] | null;
  sceneStates?: SceneSummary[];
}

/** One scene of a story. `duration` is in seconds; `transition` leads to the next scene. */
export interface Scene {
  sceneNumber: number;
  description: string;
  cameraAngle: "wide" | "medium" | "close-up" | "overhead" | "pov";
  duration: number;
  action: string;
  transition: "cut" | "fade" | "dissolve" | "wipe";
}

/** A story: its title, and its scenes in their order. */
export interface StoryboardSummary {
  title: string | null;
  scenes: Scene[];
}

/** The story is written. `storyboard` holds the same `title` and `scenes` once more. */
export interface StoryboardPayload {
  title: string | null;
  scenes: Scene[];
  videoId: string;
  seq: number | null;
  status: "pending" | "processing" | "completed" | "failed" | "cancelled" | "expired";
  progress: number;
  currentStep: "storyboard" | "review" | "scenes" | "frames" | "combining" | "storing" | "completed" | "failed" | "cancelled";
  /** The scenes that are rendered, plus one; at most `totalScenes` */
  currentScene: number;
  totalScenes: number;
  /** Why it waits for more than its turn, if it does */
  notice: string | null;
  etaSeconds?: number | null;
  etaRangeSeconds?: unknown[] | null;
  sceneStates?: SceneSummary[];
  storyboard: StoryboardSummary;
}

/** A picture is made: the first frame of a scene, or the reference picture of a member of the cast. */
export interface PicturePayload {
  videoId: string;
  seq: number | null;
  status: "pending" | "processing" | "completed" | "failed" | "cancelled" | "expired";
  progress: number;
  currentStep: "storyboard" | "review" | "scenes" | "frames" | "combining" | "storing" | "completed" | "failed" | "cancelled";
  /** The scenes that are rendered, plus one; at most `totalScenes` */
  currentScene: number;
  totalScenes: number;
  /** Why it waits for more than its turn, if it does */
  notice: string | null;
  etaSeconds?: number | null;
  etaRangeSeconds?: unknown[] | null;
  sceneStates?: SceneSummary[];
  sceneNumber: number | null;
  castName: string | null;
  pictureUrl: string;
}

/** A video's state and that of one scene. `sceneProgress` is 0-100. */
export interface ScenePayload {
  videoId: string;
  seq: number | null;
  status: "pending" | "processing" | "completed" | "failed" | "cancelled" | "expired";
  progress: number;
  currentStep: "storyboard" | "review" | "scenes" | "frames" | "combining" | "storing" | "completed" | "failed" | "cancelled";
  /** The scenes that are rendered, plus one; at most `totalScenes` */
  currentScene: number;
  totalScenes: number;
  /** Why it waits for more than its turn, if it does */
  notice: string | null;
  etaSeconds?: number | null;
  etaRangeSeconds?: unknown[] | null;
  sceneStates?: SceneSummary[];
  sceneNumber: number;
  sceneDescription: string | null;
  sceneProgress: number;
}

/** A scene is rendered: its clip can be watched. */
export interface SceneCompletedPayload {
  videoId: string;
  seq: number | null;
  status: "pending" | "processing" | "completed" | "failed" | "cancelled" | "expired";
  progress: number;
  currentStep: "storyboard" | "review" | "scenes" | "frames" | "combining" | "storing" | "completed" | "failed" | "cancelled";
  /** The scenes that are rendered, plus one; at most `totalScenes` */
  currentScene: number;
  totalScenes: number;
  /** Why it waits for more than its turn, if it does */
  notice: string | null;
  etaSeconds?: number | null;
  etaRangeSeconds?: unknown[] | null;
  sceneStates?: SceneSummary[];
  sceneNumber: number;
  sceneDescription: string | null;
  sceneProgress: number;
  sceneVideoUrl: string;
}

/** A scene failed: `error` for people, `kind` for programs. */
export interface SceneFailedPayload {
  videoId: string;
  seq: number | null;
  status: "pending" | "processing" | "completed" | "failed" | "cancelled" | "expired";
  progress: number;
  currentStep: "storyboard" | "review" | "scenes" | "frames" | "combining" | "storing" | "completed" | "failed" | "cancelled";
  /** The scenes that are rendered, plus one; at most `totalScenes` */
  currentScene: number;
  totalScenes: number;
  /** Why it waits for more than its turn, if it does */
  notice: string | null;
  etaSeconds?: number | null;
  etaRangeSeconds?: unknown[] | null;
  sceneStates?: SceneSummary[];
  sceneNumber: number;
  sceneDescription: string | null;
  sceneProgress: number;
  error: string;
  kind: string;
}

/** A further part of the film can be watched: the stream now has `streamSeconds`. */
export interface StreamPayload {
  videoId: string;
  seq: number | null;
  status: "pending" | "processing" | "completed" | "failed" | "cancelled" | "expired";
  progress: number;
  currentStep: "storyboard" | "review" | "scenes" | "frames" | "combining" | "storing" | "completed" | "failed" | "cancelled";
  /** The scenes that are rendered, plus one; at most `totalScenes` */
  currentScene: number;
  totalScenes: number;
  /** Why it waits for more than its turn, if it does */
  notice: string | null;
  etaSeconds?: number | null;
  etaRangeSeconds?: unknown[] | null;
  sceneStates?: SceneSummary[];
  streamUrl: string;
  streamSeconds: number;
}

/** The film can be watched. */
export interface CompletedPayload {
  videoId: string;
  seq: number | null;
  status: "pending" | "processing" | "completed" | "failed" | "cancelled" | "expired";
  progress: number;
  currentStep: "storyboard" | "review" | "scenes" | "frames" | "combining" | "storing" | "completed" | "failed" | "cancelled";
  /** The scenes that are rendered, plus one; at most `totalScenes` */
  currentScene: number;
  totalScenes: number;
  /** Why it waits for more than its turn, if it does */
  notice: string | null;
  etaSeconds?: number | null;
  etaRangeSeconds?: unknown[] | null;
  sceneStates?: SceneSummary[];
  videoUrl: string | null;
  thumbnailUrl: string | null;
}

/** The video failed: `error` for people, `kind` for programs. It may be resumed. */
export interface FailedPayload {
  videoId: string;
  seq: number | null;
  status: "pending" | "processing" | "completed" | "failed" | "cancelled" | "expired";
  progress: number;
  currentStep: "storyboard" | "review" | "scenes" | "frames" | "combining" | "storing" | "completed" | "failed" | "cancelled";
  /** The scenes that are rendered, plus one; at most `totalScenes` */
  currentScene: number;
  totalScenes: number;
  /** Why it waits for more than its turn, if it does */
  notice: string | null;
  etaSeconds?: number | null;
  etaRangeSeconds?: unknown[] | null;
  sceneStates?: SceneSummary[];
  error: string;
  kind: string;
  stage: string;
}
