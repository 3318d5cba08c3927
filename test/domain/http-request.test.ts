import { describe, expect, test } from 'vitest'
import { parseHttpRequest } from '../../src/domain/http-request.ts'

describe('a request is read', () => {
  test.each([
    ['https://host/path', { method: 'GET', url: 'https://host/path', headers: [] }],
    ['DELETE http://host:8080/a?b=1 HTTP/1.1', { method: 'DELETE', url: 'http://host:8080/a?b=1', headers: [] }],
    ['patch http://host', { method: 'PATCH', url: 'http://host/', headers: [] }],
    ['http://host/ HTTP/1.1', { method: 'GET', url: 'http://host/', headers: [] }],
    ['#!http\n# a comment\n// another\n\nGET http://host/', { method: 'GET', url: 'http://host/', headers: [] }],
    ['GET http://host/a\n    ?b=1\n\t&c=2\n  # &d=3', { method: 'GET', url: 'http://host/a?b=1&c=2', headers: [] }],
    ['GET http://host/#part', { method: 'GET', url: 'http://host/', headers: [] }],
    [
      'GET http://host/\nAccept: a, b\n# comment\nX-Empty:\nX-Colon: a:b ',
      {
        method: 'GET',
        url: 'http://host/',
        headers: [
          ['accept', 'a, b'],
          ['x-empty', ''],
          ['x-colon', 'a:b'],
        ],
      },
    ],
    [
      'GET http://host/\r\nHost: HOST\r\nContent-Length: 7\r\nConnection: keep-alive\r\n\r\n',
      { method: 'GET', url: 'http://host/', headers: [] },
    ],
    [
      'POST http://host/\r\nContent-Type: application/json\r\n\r\n{\r\n  "a": 1\r\n}\r\n\r\n',
      {
        method: 'POST',
        url: 'http://host/',
        headers: [['content-type', 'application/json']],
        body: '{\n  "a": 1\n}',
      },
    ],
    ['POST http://host/\n\n# body\n\nend', { method: 'POST', url: 'http://host/', headers: [], body: '# body\n\nend' }],
    ['POST http://host/\n\n<a/>\n###\n', { method: 'POST', url: 'http://host/', headers: [], body: '<a/>' }],
    [
      'POST http://host/\ncontent-type: multipart/form-data; boundary=b\n\n--b\n\nx\n--b--',
      {
        method: 'POST',
        url: 'http://host/',
        headers: [['content-type', 'multipart/form-data; boundary=b']],
        body: '--b\r\n\r\nx\r\n--b--\r\n',
      },
    ],
    [
      'GET http://me:p%40ss@host/',
      { method: 'GET', url: 'http://host/', headers: [['authorization', `Basic ${btoa('me:p@ss')}`]] },
    ],
    [
      'GET http://me:pass@host/\nAuthorization: Bearer token',
      { method: 'GET', url: 'http://host/', headers: [['authorization', 'Bearer token']] },
    ],
  ])('%j', (text, request) => {
    expect(parseHttpRequest(text)).toEqual(request)
  })
})

describe('a text that is not a request is refused, with its line, and without its secrets', () => {
  test.each([
    ['', 'the step has no request'],
    ['# only\n// comments\n', 'the step has no request'],
    ['POST', 'line 1: an address is missing'],
    ['#!http\nPOST /path', 'line 2: the address does not begin with http:// or https://'],
    ['ftp://me:secret@host/', 'line 1: the address does not begin with http:// or https://'],
    ['GET http://me:secret@:99999999/', 'line 1: the address is not a valid URL'],
    ['GET http://host/a b', 'line 1: a request line is `METHOD address`, and the address has a blank in it'],
    ['GET http://host/{{secret}}', 'line 1: variables in {{ }} are not supported'],
    ['CONNECT http://host/', 'line 1: the method CONNECT is not supported'],
    ['GET http://host/\n\nbody', 'line 3: a GET request cannot have a body'],
    ['GET http://host/\nBearer secret', 'line 2: a header is `name: value`'],
    ['GET http://host/\nA: b\n  folded', 'line 3: a header may not go on in a second line'],
    ['GET http://host/\nAuthorization: {{secret}}', 'line 2: variables in {{ }} are not supported'],
    ['GET http://host/\nX-Name: naïve €', 'line 2: HTTP cannot carry the characters of X-Name'],
    ['GET http://host/\nExpect: 100-continue', 'line 2: the header Expect is not supported'],
    ['GET http://host/\nHost: other', 'line 2: the header Host differs from the address, which decides'],
    ['POST http://host/\n\n< ./secret.json', 'line 3: a body cannot be read from a file'],
    ['GET http://a/\n\n###\n\nGET http://b/', 'line 5: a second request; a step is one'],
  ])('%j', (text, problem) => {
    expect(parseHttpRequest(text)).toEqual({ problem })
  })
})
