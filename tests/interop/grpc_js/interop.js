// Calls a running server with @grpc/grpc-js, whose HTTP/2 is Node's own: another client than grpcio, which other tests use.
//
//   npm install && node interop.js PROTOS TARGET [TARGET ...]
//
// PROTOS is the folder of .proto files (protos/ of this repository), a TARGET an address such as localhost:8500 or
// unix:/path. The server must serve half_plus_two and slow of tests/models.py, and have --enable_grpc_healthcheck_service.
// Prints a line for each check; the exit status is 1 if one fails. `make interop` does it all.

'use strict';

const assert = require('node:assert/strict');
const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');

const [protos, ...targets] = process.argv.slice(2);
const FILES = [
  'tensorflow_serving/apis/prediction_service.proto',
  'tensorflow_serving/apis/model_service.proto',
  'grpc/health/v1/health.proto',
  'grpc/reflection/v1/reflection.proto',
];
const OPTIONS = { includeDirs: [protos], keepCase: true, longs: Number, enums: String, defaults: true, oneofs: true };
const api = grpc.loadPackageDefinition(loader.loadSync(FILES, OPTIONS));
const credentials = grpc.credentials.createInsecure();
const { status } = grpc;
const GZIP = 2;
const MIB = 1 << 20;

const deadline = (seconds) => ({ deadline: Date.now() + 1000 * seconds });

function call(client, method, request, seconds = 20) {
  return new Promise((resolve, reject) => {
    client[method](request, deadline(seconds), (error, answer) => (error ? reject(error) : resolve(answer)));
  });
}

async function fails(promise, code, details) {
  const error = await promise.then(() => assert.fail('no error'), (raised) => raised);
  assert.equal(error.code, code, error.stack);
  if (details !== undefined) assert.equal(error.details, details);
}

function request(model, inputs, more = {}) {
  const tensors = {};
  for (const [alias, values] of Object.entries(inputs)) {
    tensors[alias] = { dtype: 'DT_FLOAT', tensor_shape: { dim: [{ size: values.length }] }, float_val: values };
  }
  return { model_spec: { name: model, ...more }, inputs: tensors };
}

// Messages of a stream until its end; the error that ended it, if one did.
function collect(stream) {
  return new Promise((resolve) => {
    const messages = [];
    stream.on('data', (message) => messages.push(message));
    stream.on('end', () => resolve({ messages }));
    stream.on('error', (error) => resolve({ messages, error }));
  });
}

function clients(target, more = {}) {
  const options = { 'grpc.use_local_subchannel_pool': 1, 'grpc.max_receive_message_length': 64 * MIB, ...more };
  const serving = api.tensorflow.serving;
  return {
    predict: new serving.PredictionService(target, credentials, options),
    models: new serving.ModelService(target, credentials, options),
    health: new api.grpc.health.v1.Health(target, credentials, options),
    reflection: new api.grpc.reflection.v1.ServerReflection(target, credentials, options),
  };
}

const checks = {
  async predict({ predict }) {
    const answer = await call(predict, 'Predict', request('half_plus_two', { x: [1, 2, 5] }));
    assert.deepEqual(answer.outputs.y.float_val, [2.5, 3, 4.5]);
    assert.equal(answer.model_spec.version.value, 1);
  },

  async 'status and metadata'({ models, predict }) {
    const about = await call(models, 'GetModelStatus', { model_spec: { name: 'half_plus_two' } });
    assert.equal(about.model_version_status[0].state, 'AVAILABLE');
    const metadata = await call(predict, 'GetModelMetadata', {
      model_spec: { name: 'half_plus_two' }, metadata_field: ['signature_def'],
    });
    assert.match(metadata.metadata.signature_def.type_url, /SignatureDefMap$/);
  },

  async 'errors and their texts'({ predict }) {
    await fails(
      call(predict, 'Predict', request('ünd % "nobody"', {})),
      status.NOT_FOUND,
      'Servable not found for request: Latest(ünd % "nobody")',
    );
    await fails(call(predict, 'Predict', {}), status.INVALID_ARGUMENT, 'Missing ModelSpec');
  },

  async 'a deadline'({ predict }) {
    const start = Date.now();
    await fails(call(predict, 'Predict', request('slow', { seconds: [2] }), 0.3), status.DEADLINE_EXCEEDED);
    assert.ok(Date.now() - start < 1500);
  },

  async 'a cancelled call'({ predict }) {
    const cancelled = new Promise((resolve, reject) => {
      const running = predict.Predict(request('slow', { seconds: [2] }), deadline(20), (error, answer) =>
        error ? reject(error) : resolve(answer));
      setTimeout(() => running.cancel(), 100);
    });
    await fails(cancelled, status.CANCELLED);
  },

  async 'compressed requests'(_, target) {
    const { predict } = clients(target, { 'grpc.default_compression_algorithm': GZIP });
    const x = Array.from({ length: 50000 }, (_, i) => i % 7);
    const answer = await call(predict, 'Predict', request('half_plus_two', { x }));
    assert.deepEqual(answer.outputs.y.float_val, x.map((value) => value / 2 + 2));
    predict.close();
  },

  async 'large messages'({ predict }) {
    const x = Array.from({ length: 1.1 * MIB }, (_, i) => i % 1000);
    const { float_val: y } = (await call(predict, 'Predict', request('half_plus_two', { x }))).outputs.y;
    assert.equal(y.length, x.length);
    assert.ok(y.every((value, i) => value === x[i] / 2 + 2));
  },

  async 'many calls at once'({ predict }) {
    const answers = await Promise.all(
      Array.from({ length: 500 }, (_, i) => call(predict, 'Predict', request('half_plus_two', { x: [i] }))));
    answers.forEach((answer, i) => assert.deepEqual(answer.outputs.y.float_val, [i / 2 + 2]));
  },

  async 'unknown methods'({ predict }) {
    const bytes = (data) => data;
    for (const path of ['/tensorflow.serving.PredictionService/Nope', '/nobody.Service/Method']) {
      await fails(
        new Promise((resolve, reject) => {
          predict.makeUnaryRequest(path, bytes, bytes, Buffer.alloc(100000), new grpc.Metadata(), deadline(20),
            (error, answer) => (error ? reject(error) : resolve(answer)));
        }),
        status.UNIMPLEMENTED, '');
      // One that goes on sending.
      const stream = predict.makeBidiStreamRequest(path, bytes, bytes, new grpc.Metadata(), deadline(20));
      stream.write(Buffer.from('x'));
      const { error } = await collect(stream);
      assert.equal(error.code, status.UNIMPLEMENTED, error.stack);
    }
    await call(predict, 'Predict', request('half_plus_two', { x: [1] }));
  },

  async health({ health }) {
    const service = 'tensorflow.serving.PredictionService/half_plus_two';
    for (const name of ['', 'PredictionService', service]) {
      assert.equal((await call(health, 'Check', { service: name })).status, 'SERVING');
    }
    await fails(call(health, 'Check', { service: 'nobody' }), status.NOT_FOUND);
    const watch = health.Watch({ service }, deadline(20));
    const done = collect(watch);
    await new Promise((resolve) => watch.once('data', resolve));
    watch.cancel();
    const { messages, error } = await done;
    assert.deepEqual(messages.map((message) => message.status), ['SERVING']);
    assert.equal(error.code, status.CANCELLED);
  },

  async reflection({ reflection }) {
    const stream = reflection.ServerReflectionInfo(deadline(20));
    const done = collect(stream);
    stream.write({ list_services: '' });
    stream.write({ file_containing_symbol: 'tensorflow.serving.PredictionService' });
    stream.write({ file_by_filename: 'nowhere.proto' });
    stream.end();
    const { messages, error } = await done;
    assert.equal(error, undefined);
    const [services, files, nothing] = messages;
    const names = services.list_services_response.service.map((service) => service.name);
    assert.ok(names.includes('tensorflow.serving.PredictionService'), names);
    assert.ok(files.file_descriptor_response.file_descriptor_proto.length > 5);
    assert.equal(nothing.error_response.error_code, status.NOT_FOUND);
  },
};

async function main() {
  let failed = 0;
  for (const target of targets) {
    const shared = clients(target);
    for (const [name, check] of Object.entries(checks)) {
      try {
        await check(shared, target);
        console.log(`ok ${name} (${target})`);
      } catch (error) {
        failed += 1;
        console.log(`FAILED ${name} (${target}): ${error.stack}`);
      }
    }
    Object.values(shared).forEach((client) => client.close());
  }
  process.exitCode = failed || targets.length === 0 ? 1 : 0;
}

main();
