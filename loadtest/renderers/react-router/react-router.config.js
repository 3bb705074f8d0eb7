export default {
  ssr: true,
  buildDirectory: `build-${process.env.DEPLOYMENT ?? 'a'}`,
};
