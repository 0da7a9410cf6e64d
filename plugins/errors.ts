import type { Socket } from 'node:net'
import createError from '@fastify/error'
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import Negotiator from 'negotiator'
import { Type } from 'typebox'
import { BrokerUnavailableError } from '../src/broker/broker.js'

/** Every error the server answers with: code, status, Korean and English message. */
const ERRORS = {
  BAD_REQUEST: { status: 400, ko: '잘못된 요청입니다.', en: 'Bad request.' },
  UNAUTHORIZED: { status: 401, ko: '인증이 필요합니다.', en: 'Authentication is required.' },
  FORBIDDEN: { status: 403, ko: '접근 권한이 없습니다.', en: 'Access is denied.' },
  NOT_FOUND: { status: 404, ko: '찾을 수 없습니다.', en: 'Not found.' },
  REQUEST_TIMEOUT: { status: 408, ko: '요청 시간이 초과되었습니다.', en: 'The request took too long.' },
  GONE: { status: 410, ko: '종료된 채팅방입니다.', en: 'The chat room has ended.' },
  PAYLOAD_TOO_LARGE: { status: 413, ko: '요청 본문이 너무 큽니다.', en: 'The request body is too large.' },
  UNSUPPORTED_MEDIA_TYPE: { status: 415, ko: '지원하지 않는 형식입니다.', en: 'The media type is not supported.' },
  TOO_MANY_REQUESTS: { status: 429, ko: '요청이 너무 많습니다.', en: 'Too many requests.' },
  REQUEST_HEADER_FIELDS_TOO_LARGE: { status: 431, ko: '요청 헤더가 너무 큽니다.', en: 'The request headers are too large.' },
  INTERNAL_SERVER_ERROR: { status: 500, ko: '서버 오류가 발생했습니다.', en: 'Internal server error.' },
  SERVICE_UNAVAILABLE: { status: 503, ko: '서비스를 일시적으로 사용할 수 없습니다.', en: 'The service is temporarily unavailable.' }
} as const

type ErrorCode = keyof typeof ERRORS

const codeOfStatus = new Map<number, ErrorCode>()
for (const [code, { status }] of Object.entries(ERRORS)) codeOfStatus.set(status, code as ErrorCode)

const LANGUAGES = ['ko', 'en']

/** An error to throw from a handler. */
export function apiError (code: ErrorCode) {
  const { status, en } = ERRORS[code]
  return createError(code, en, status)()
}

/** The body of every error. */
export const ErrorBody = Type.Object({
  code: Type.Enum(Object.keys(ERRORS)),
  message: Type.String({ description: 'Korean, or English when Accept-Language prefers it' })
}, { title: 'Error', examples: [{ code: 'BAD_REQUEST', message: ERRORS.BAD_REQUEST.ko }] })

/** The response schemas of the errors a route may answer with. */
export function errorResponses (...codes: ErrorCode[]) {
  return Object.fromEntries(codes.map((code) => [ERRORS[code].status, { description: ERRORS[code].en, ...ErrorBody }]))
}

function sendError (request: FastifyRequest, reply: FastifyReply, code: ErrorCode) {
  const language = new Negotiator(request.raw).language(LANGUAGES) === 'en' ? 'en' : 'ko'
  return reply.code(ERRORS[code].status).send({ code, message: ERRORS[code][language] })
}

function codeOf (error: Partial<FastifyError>): ErrorCode {
  if (error instanceof BrokerUnavailableError) return 'SERVICE_UNAVAILABLE'
  const status = error.statusCode ?? 500
  return codeOfStatus.get(status) ?? (status < 500 ? 'BAD_REQUEST' : 'INTERNAL_SERVER_ERROR')
}

/** Answers what went wrong before there was a route, such as a path that cannot be decoded. */
export function frameworkErrors (error: FastifyError, request: FastifyRequest, reply: FastifyReply) {
  return sendError(request, reply, codeOf(error))
}

/** Answers what is not even HTTP. On a connection that has been answered before, a stream may be open: it is only closed. */
export function clientErrorHandler (error: NodeJS.ErrnoException, socket: Socket) {
  if (!socket.writable || socket.bytesWritten > 0) {
    socket.destroy()
    return
  }
  const code: ErrorCode = error.code === 'HPE_HEADER_OVERFLOW'
    ? 'REQUEST_HEADER_FIELDS_TOO_LARGE'
    : error.code === 'ERR_HTTP_REQUEST_TIMEOUT' ? 'REQUEST_TIMEOUT' : 'BAD_REQUEST'
  const body = JSON.stringify({ code, message: ERRORS[code].ko })
  socket.end(`HTTP/1.1 ${ERRORS[code].status} ${code}\r\nContent-Type: application/json; charset=utf-8\r\n` +
    `Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`)
}

/** Gives every error the body `{"code","message"}`. */
export default fp(async (app) => {
  app.setErrorHandler((error: FastifyError, request, reply) => {
    const code = codeOf(error)
    if (code === 'INTERNAL_SERVER_ERROR') request.log.error({ err: error }, 'request failed')
    else request.log.debug({ code, reason: error.message }, 'request refused')
    return sendError(request, reply, code)
  })
  app.setNotFoundHandler((request, reply) => sendError(request, reply, 'NOT_FOUND'))
  // Node would answer an expectation that it does not know with a 417 of its own. It may be ignored as well (RFC 9110, 10.1.1).
  app.server.on('checkExpectation', (request, response) => app.server.emit('request', request, response))
}, { name: 'errors', fastify: '5.x' })
