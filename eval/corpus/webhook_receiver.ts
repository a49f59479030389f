/**
 * Receives webhooks from Basin, checks that they are genuine, and hands them on exactly once.
 *
 * Run it behind a reverse proxy that ends TLS. The secret is shown once when the webhook is created
 * in the console; put it into the environment variable BASIN_WEBHOOK_SECRET.
 */

import { createHmac, timingSafeEqual } from "node:crypto";
import { createServer, IncomingMessage, ServerResponse } from "node:http";

const SECRET = process.env.BASIN_WEBHOOK_SECRET ?? "";
/** Calls older or newer than five minutes are refused, so a recorded call cannot be played again later. */
const TOLERANCE_MS = 5 * 60 * 1000;
/** Basin repeats a call for 24 hours; remembering ids for 25 hours is enough to drop every repeat. */
const REMEMBER_MS = 25 * 60 * 60 * 1000;
/** Larger bodies are never sent by Basin and are cut off before they fill the memory. */
const MAX_BODY_BYTES = 256 * 1024;

interface BasinEvent {
  id: string;
  kind: "alert.raised" | "alert.cleared" | "device.state" | "export.ready";
  site: string;
  at: string;
  data: Record<string, unknown>;
}

const seen = new Map<string, number>();

/** Compares in constant time: an early return would tell an attacker how many bytes were right. */
export function isGenuine(body: Buffer, timestamp: string, signature: string, now = Date.now()): boolean {
  const sentAt = Number(timestamp) * 1000;
  if (!Number.isFinite(sentAt) || Math.abs(now - sentAt) > TOLERANCE_MS) {
    return false;
  }
  const expected = createHmac("sha256", SECRET).update(`${timestamp}.`).update(body).digest();
  const given = Buffer.from(signature, "hex");
  return given.length === expected.length && timingSafeEqual(given, expected);
}

/** Returns true the first time an id is seen. */
export function isFirst(id: string, now = Date.now()): boolean {
  for (const [old, at] of seen) {
    if (now - at > REMEMBER_MS) {
      seen.delete(old);
    }
  }
  if (seen.has(id)) {
    return false;
  }
  seen.set(id, now);
  return true;
}

async function readBody(request: IncomingMessage): Promise<Buffer> {
  const parts: Buffer[] = [];
  let size = 0;
  for await (const part of request) {
    size += part.length;
    if (size > MAX_BODY_BYTES) {
      throw new Error("body too large");
    }
    parts.push(part as Buffer);
  }
  return Buffer.concat(parts);
}

async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const body = await readBody(request);
  const timestamp = String(request.headers["x-tarn-timestamp"] ?? "");
  const signature = String(request.headers["x-tarn-signature"] ?? "");
  if (!isGenuine(body, timestamp, signature)) {
    response.writeHead(401).end();
    return;
  }
  const event = JSON.parse(body.toString("utf8")) as BasinEvent;
  // Answer first and work afterwards: Basin waits 10 seconds and then counts the call as failed.
  response.writeHead(204).end();
  if (isFirst(event.id)) {
    await dispatch(event);
  }
}

async function dispatch(event: BasinEvent): Promise<void> {
  if (event.kind === "alert.raised") {
    console.log(`alert at ${event.site}: ${JSON.stringify(event.data)}`);
  }
}

if (SECRET === "") {
  // Starting without a secret would accept forged alerts, so the program stops here.
  console.error("BASIN_WEBHOOK_SECRET is not set");
  process.exit(1);
}
createServer((request, response) => {
  handle(request, response).catch(() => response.writeHead(400).end());
}).listen(Number(process.env.PORT ?? 8088), "127.0.0.1");
